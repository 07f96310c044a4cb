"""What the description of the API has of cameras and of films."""

from typing import Any

from daemon.front.http.openapi_parts import TEXT, Operation, in_path, operation


def paths() -> dict[str, dict[str, Operation]]:
    """Return the addresses, with their methods."""
    name = in_path("name", "The camera, as webcams of /api/settings names it.")
    return {"/webcam/": {"get": _picture()}, "/webcam/{name}/": {"get": _picture(name)}}


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
