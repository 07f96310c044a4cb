"""The part of the API's description about companions, processes beside core and front."""

from daemon.front.http.openapi_parts import BOOLEAN, NUMBER, TEXT, Operation, Schema, in_path, operation
from daemon.front.http.openapi_schemas import array, nullable, obj

_FREE: Schema = {"type": "object"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
_STATE = obj({"away": BOOLEAN, "state": nullable("object")})


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path."""
    name = [in_path("name", "power, timelapse, notify, mqtt or farm.", {"type": "string", "pattern": "^[a-z]+$"})]
    event = obj({"name": _NAME, "payload": _FREE, "once": _NAME}, required=["name"])
    plugin = obj({"plugin": _NAME, "data": _FREE, "once": _NAME}, required=["plugin"])
    message = obj({"kind": {"enum": ["timelapse"]}, "payload": _FREE, "once": _NAME}, required=["kind"])
    answer = obj(
        {"id": {"type": "integer"}, "status": {"type": "integer", "minimum": 200, "maximum": 599}, "body": {}},
        required=["id", "status"],
    )
    report = obj(
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
    ask = operation(
        "Send the companion a request; the answer is the companion's.",
        404,
        409,
        503,
        body=obj({"do": _NAME, "with": _FREE}, required=["do"]),
        parameters=name,
    )
    psu = obj({"isPSUOn": BOOLEAN})
    command = {"enum": ["turnPSUOn", "turnPSUOff", "togglePSU", "getPSUState"]}
    body = obj({"command": command, "force": BOOLEAN}, required=["command"])
    switch = operation("Switch the printer's power, as in OctoPrint's plug-in.", 404, 409, 503, body=body)
    switch["responses"]["200"] = {"description": "For getPSUState: whether the printer has power."}
    ask["responses"]["200"] = {"description": "The companion's answer."}
    return {
        "/api/companions": {
            "get": operation("List the companions that are switched on.", done=obj({"companions": _FREE}))
        },
        "/api/companions/{name}": {
            "get": operation("Get its latest state.", 404, done=_STATE, parameters=name),
            "post": operation(
                "Report (409: a print is beginning); needs the companion's own key, or one of scope admin.",
                404,
                409,
                body=report,
                parameters=name,
            ),
        },
        "/api/companions/{name}/requests": {
            "get": operation(
                "Wait up to 25 s for requests; needs the companion's own key, or one of scope admin.",
                404,
                done=obj({"requests": array(request)}),
                parameters=name,
            ),
            "post": operation(
                "Check whether a client still waits for a request (409: none does); "
                "needs the companion's own key, or one of scope admin.",
                404,
                409,
                body=obj({"id": {"type": "integer"}}, required=["id"]),
                parameters=name,
            ),
        },
        "/api/companions/{name}/ask": {"post": ask},
        "/api/plugin/psucontrol": {
            "get": operation("Get whether the printer has power.", 404, 503, done=psu),
            "post": switch,
        },
    }
