"""The part of the API's description about cameras and timelapse films."""

from typing import Any

from daemon.front.http.openapi_parts import BOOLEAN, TEXT, Operation, Schema, in_path, operation
from daemon.front.http.openapi_schemas import array, obj


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path."""
    name = in_path("name", "The camera's name in /api/settings.")
    return {"/webcam/": {"get": _picture()}, "/webcam/{name}/": {"get": _picture(name)}, **_films()}


def _films() -> dict[str, dict[str, Operation]]:
    free: Schema = {"type": "object"}
    unrendered = {
        "name": "unrendered",
        "in": "query",
        "schema": TEXT,
        "description": "Include films that are not rendered yet.",
    }
    film, pictures = (
        in_path("name", "The film's name."),
        in_path("name", "The name of a film that is not rendered yet."),
    )
    listed = obj(
        {"config": free, "enabled": BOOLEAN, "files": array(free), "unrendered": array(free)}, required=["files"]
    )
    change = operation("Change what is recorded; `save` makes it permanent.", 409, 502, 503, done=listed, body=free)
    form = {"application/x-www-form-urlencoded": {"schema": free}}
    change["requestBody"]["content"] = {**change["requestBody"]["content"], **form}
    delete = operation("Delete a film.", 404, 409, 503, done=listed, parameters=[film, unrendered])
    redirect = operation("Redirect to a film.", parameters=[film])
    redirect["responses"]["302"] = {"description": "The film's address."}
    del redirect["responses"]["204"]
    download = operation("Download a film, or its thumbnail.", 404, done={}, parameters=[film])
    download["responses"]["200"] = {"description": "The film.", "content": {"video/mp4": {"schema": {}}}}
    download["responses"] |= {str(code): {"description": text} for code, text in _RANGES.items()}
    render = operation(
        "Render a film, unless a print is under way.",
        404,
        409,
        503,
        body=obj({"command": {"const": "render"}}, required=["command"]),
        parameters=[pictures],
    )
    return {
        "/api/timelapse": {
            "get": operation(
                "Get the settings of timelapses, and list the films.", done=listed, parameters=[unrendered]
            ),
            "post": change,
        },
        "/api/timelapse/{name}": {"get": redirect, "delete": delete},
        "/api/timelapse/unrendered/{name}": {
            "post": render,
            "delete": operation("Delete the pictures.", 404, 409, 503, parameters=[pictures]),
        },
        "/downloads/timelapse/{name}": {"get": download},
    }


_RANGES = {206: "A range of the film.", 304: "Not modified.", 416: "The film has no such bytes."}


def _picture(*parameters: dict[str, Any]) -> Operation:
    action = {"name": "action", "in": "query", "schema": {"enum": ["stream", "snapshot"]}}
    camera = {"name": "camera", "in": "query", "schema": TEXT}
    picture = operation(
        "Get a camera's stream, or a single picture.",
        400,
        404,
        502,
        503,
        done={},
        parameters=[*parameters, action, camera],
    )
    picture["responses"]["200"] = {
        "description": "The stream, or the picture.",
        "content": {"multipart/x-mixed-replace": {"schema": {}}, "image/jpeg": {"schema": {}}},
    }
    return picture
