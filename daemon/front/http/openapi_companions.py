"""What the description of the API has of companions: processes beside core and front."""

from daemon.front.http.openapi_parts import BOOLEAN, NUMBER, TEXT, Operation, Schema, in_path, operation
from daemon.front.http.openapi_schemas import array, nullable, obj

_FREE: Schema = {"type": "object"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
_WORD = obj({"away": BOOLEAN, "state": nullable("object")})


def paths() -> dict[str, dict[str, Operation]]:
    """Return the addresses, with their methods."""
    which = [in_path("name", "power, timelapse, notify, mqtt or farm.", {"type": "string", "pattern": "^[a-z]+$"})]
    event = obj({"name": _NAME, "payload": _FREE, "once": _NAME}, required=["name"])
    plugin = obj({"plugin": _NAME, "data": _FREE, "once": _NAME}, required=["plugin"])
    message = obj({"kind": {"enum": ["timelapse"]}, "payload": _FREE, "once": _NAME}, required=["kind"])
    answer = obj(
        {"id": {"type": "integer"}, "status": {"type": "integer", "minimum": 200, "maximum": 599}, "body": {}},
        required=["id", "status"],
    )
    said = obj(
        {
            "state": nullable("object"),
            "events": array(event, maxItems=64),
            "plugins": array(plugin, maxItems=64),
            "messages": array(message, maxItems=64),
            "answers": array(answer, maxItems=64),
        },
        required=[],
    )
    request = obj({"id": NUMBER, "do": TEXT, "with": _FREE, "scope": TEXT})
    asked = operation(
        "Have it do something; the answer is its own.",
        404,
        409,
        503,
        body=obj({"do": _NAME, "with": _FREE}, required=["do"]),
        parameters=which,
    )
    psu = obj({"isPSUOn": BOOLEAN})
    command = {"enum": ["turnPSUOn", "turnPSUOff", "togglePSU", "getPSUState"]}
    body = obj({"command": command, "force": BOOLEAN}, required=["command"])
    switched = operation("Switch the printer's power, as OctoPrint's plug-in does.", 404, 409, 503, body=body)
    switched["responses"]["200"] = {"description": "Whether it has power, for getPSUState."}
    asked["responses"]["200"] = {"description": "Its answer."}
    return {
        "/api/companions": {
            "get": operation("List the companions that are switched on.", done=obj({"companions": _FREE}))
        },
        "/api/companions/{name}": {
            "get": operation("Tell what it has said last.", 404, done=_WORD, parameters=which),
            "post": operation("Take what it says; for its own key.", 404, body=said, parameters=which),
        },
        "/api/companions/{name}/requests": {
            "get": operation(
                "Tell what it is to do, as soon as there is something, within 25 s; for its own key.",
                404,
                done=obj({"requests": array(request)}),
                parameters=which,
            ),
            "post": operation(
                "Tell whether somebody still waits for one of them (409: nobody does); for its own key.",
                404,
                409,
                body=obj({"id": {"type": "integer"}}, required=["id"]),
                parameters=which,
            ),
        },
        "/api/companions/{name}/ask": {"post": asked},
        "/api/plugin/psucontrol": {
            "get": operation("Tell whether the printer has power.", 404, 503, done=psu),
            "post": switched,
        },
    }
