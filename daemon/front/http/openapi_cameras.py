"""What the description of the API has of cameras and of films."""

from typing import Any

from daemon.front.http.openapi_parts import BOOLEAN, TEXT, Operation, Schema, in_path, operation
from daemon.front.http.openapi_schemas import array, obj


def paths() -> dict[str, dict[str, Operation]]:
    """Return the addresses, with their methods."""
    name = in_path("name", "The camera, as webcams of /api/settings names it.")
    return {"/webcam/": {"get": _picture()}, "/webcam/{name}/": {"get": _picture(name)}, **_films()}


def _films() -> dict[str, dict[str, Operation]]:
    free: Schema = {"type": "object"}
    unrendered = {
        "name": "unrendered",
        "in": "query",
        "schema": TEXT,
        "description": "With those to come.",
    }
    film, pictures = in_path("name", "A film."), in_path("name", "Pictures that have no film yet.")
    listed = obj(
        {"config": free, "enabled": BOOLEAN, "files": array(free), "unrendered": array(free)}, required=["files"]
    )
    change = operation("Change what is recorded; `save` keeps it.", 409, 502, 503, done=listed, body=free)
    form = {"application/x-www-form-urlencoded": {"schema": free}}
    change["requestBody"]["content"] = {**change["requestBody"]["content"], **form}
    delete = operation("Delete a film.", 404, 409, 503, done=listed, parameters=[film, unrendered])
    leads = operation("Lead to a film.", parameters=[film])
    leads["responses"]["302"] = {"description": "Where it is."}
    del leads["responses"]["204"]
    sent = operation("Send a film, or the picture that shows it.", 404, done={}, parameters=[film])
    sent["responses"]["200"] = {"description": "The film.", "content": {"video/mp4": {"schema": {}}}}
    sent["responses"] |= {str(code): {"description": text} for code, text in _RANGES.items()}
    render = operation(
        "Have a film made, while nothing is printed.",
        404,
        409,
        503,
        body=obj({"command": {"const": "render"}}, required=["command"]),
        parameters=[pictures],
    )
    return {
        "/api/timelapse": {
            "get": operation("Tell what is recorded, and list the films.", done=listed, parameters=[unrendered]),
            "post": change,
        },
        "/api/timelapse/{name}": {"get": leads, "delete": delete},
        "/api/timelapse/unrendered/{name}": {
            "post": render,
            "delete": operation("Delete these pictures.", 404, 409, 503, parameters=[pictures]),
        },
        "/downloads/timelapse/{name}": {"get": sent},
    }


_RANGES = {206: "A part of it.", 304: "It is known.", 416: "It has no such bytes."}


def _picture(*parameters: dict[str, Any]) -> Operation:
    action = {"name": "action", "in": "query", "schema": {"enum": ["stream", "snapshot"]}}
    camera = {"name": "camera", "in": "query", "schema": TEXT}
    found = operation(
        "Pass on a camera's stream, or a single picture.",
        400,
        404,
        502,
        503,
        done={},
        parameters=[*parameters, action, camera],
    )
    found["responses"]["200"] = {
        "description": "The stream, or the picture.",
        "content": {"multipart/x-mixed-replace": {"schema": {}}, "image/jpeg": {"schema": {}}},
    }
    return found
