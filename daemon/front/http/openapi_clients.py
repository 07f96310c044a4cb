"""The part of the API's description about settings, profiles, users, plug-ins, logs, metrics and links."""

from daemon.front.http.openapi_parts import (
    BOOLEAN,
    NUMBER,
    TEXT,
    Operation,
    cached,
    command,
    in_path,
    json_of,
    keyless,
    operation,
    query,
)
from daemon.front.http.openapi_schemas import array, nullable, obj, ref

_FREE = obj({}, required=[])


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path."""
    return {**_settings(), **_profiles(), **_users(), **_plugins(), **_logs(), **_metrics(), **_others()}


def _settings() -> dict[str, dict[str, Operation]]:
    preset = obj(
        {
            "name": {"type": "string", "minLength": 1, "maxLength": 40},
            "extruder": nullable("number"),
            "bed": nullable("number"),
            "chamber": nullable("number"),
        },
        required=["name"],
    )
    text, address, flag = {"type": "string", "maxLength": 200}, {"type": "string", "maxLength": 2000}, BOOLEAN
    one = {
        **dict.fromkeys(("streamUrl", "snapshotUrl", "webrtcUrl", "hlsUrl"), address),
        "name": address,
        **dict.fromkeys(("flipH", "flipV", "rotate90"), flag),
    }
    another = obj({**one, "name": {"type": "string", "minLength": 1, "maxLength": 40}}, required=["name"])
    camera = obj({**one, "cameras": array(another, maxItems=8)}, required=[])
    change = obj(
        {
            "appearance": obj({"name": text}, required=[]),
            "temperature": obj({"profiles": array(preset, maxItems=50)}, required=[]),
            "webcam": camera,
        },
        required=[],
    )
    heat = {
        "anyOf": [command("preheat", preset=TEXT, tool_=TEXT), command("cooldown")],
    }
    return {
        "/api/settings": {
            "get": cached(operation("Get the settings.", done=ref("Settings"))),
            "post": operation(
                "Change name, cameras or temperature presets: all requested changes, or none; needs a key of scope "
                "admin. 409 for settings that the configuration file sets, and for those that cannot be changed.",
                409,
                500,
                507,
                done=ref("Settings"),
                body=change,
            ),
        },
        "/api/printer/preheat": {
            "post": operation("Heat by a temperature preset, or turn all heaters off.", 404, 409, 503, body=heat)
        },
    }


def _profiles() -> dict[str, dict[str, Operation]]:
    identity = in_path("id", "The profile: _default.")
    fields = {
        **dict.fromkeys(("name", "model", "firmware"), TEXT),
        **dict.fromkeys(("volume", "extruder", "maxTemperatures"), _FREE),
        **dict.fromkeys(("heatedBed", "heatedChamber"), BOOLEAN),
    }
    change = obj({"profile": obj(fields, required=[])})
    return {
        "/api/printerprofiles": {
            "get": cached(operation("List the profile.", done=ref("Profiles"))),
            "post": operation("Refused: there is only one profile.", 409, body=_FREE),
        },
        "/api/printerprofiles/{id}": {
            "get": cached(operation("Get the profile.", 404, done=ref("Profile"), parameters=[identity])),
            "patch": operation(
                "Change the profile; needs a key of scope admin. 409 during a print, and if the configuration file "
                "describes the printer.",
                404,
                409,
                500,
                503,
                507,
                done=obj({"profile": ref("Profile")}),
                body=change,
                parameters=[identity],
            ),
            "delete": operation("Refused: the profile is in use.", 404, 409, parameters=[identity]),
        },
    }


def _users() -> dict[str, dict[str, Operation]]:
    needs = obj({"role": array(TEXT), "group": array(TEXT)})
    user = obj(
        {
            "name": TEXT,
            "active": BOOLEAN,
            "user": BOOLEAN,
            "admin": BOOLEAN,
            "apikey": {"type": "null"},
            "groups": array(TEXT),
            "permissions": array(TEXT),
            "needs": needs,
        }
    )
    group = obj({"key": TEXT, "name": TEXT, "permissions": array(TEXT), "needs": needs})
    permission = obj({"key": TEXT, "name": TEXT, "default_groups": array(TEXT), "needs": needs})
    permission["properties"]["needs"] = obj({"role": array(TEXT)})
    name, key = in_path("name", "The key's name."), in_path("key", "The group's name.")
    login = operation(
        "Begin a session, and get the key's user; the fields come as JSON, a form or the query.",
        400,
        413,
        415,
        done=ref("Login"),
        parameters=[query("passive", {"type": "boolean"}, "May be sent here instead of in a body.")],
    )
    login["requestBody"] = {"required": False, **json_of(obj({"passive": BOOLEAN}))}
    users = operation(
        "List the users, one per key; without scope admin, only the client's own.", done=obj({"users": array(user)})
    )
    refuse = operation("Refused: users are keys.", 409)
    one = {
        "get": operation("Get a user.", 404, done=user, parameters=[name]),
        "post": operation("Refused: users are keys.", 409, parameters=[name]),
        "put": operation("Refused: users are keys.", 409, parameters=[name]),
    }
    return {
        "/api/login": {"post": keyless(login)},
        "/api/users": {"get": users, "post": refuse},
        "/api/users/{name}": one,
        "/api/access/users": {"get": users, "post": refuse},
        "/api/access/users/{name}": one,
        "/api/access/groups": {"get": operation("List the groups.", done=obj({"groups": array(group)}))},
        "/api/access/groups/{key}": {"get": operation("Get a group.", 404, done=group, parameters=[key])},
        "/api/access/permissions": {
            "get": operation("List the permissions.", done=obj({"permissions": array(permission)}))
        },
    }


def _plugins() -> dict[str, dict[str, Operation]]:
    plugins = operation("List no plug-ins.", done=obj({"plugins": array({}), "octoprint": TEXT}))
    update = obj({"displayName": TEXT, "displayVersion": TEXT, "updateAvailable": {"const": False}})
    checked = obj({"status": {"const": "current"}, "information": obj({"octoprint": update})})
    return {
        "/plugin/pluginmanager/plugins": {"get": plugins},
        "/api/plugin/pluginmanager": {"get": plugins},
        "/plugin/pluginmanager/plugins/versions": {"get": operation("List no plug-ins.", done=_FREE)},
        "/plugin/softwareupdate/check": {"get": operation("Get the version; there are no updates.", done=checked)},
    }


def _logs() -> dict[str, dict[str, Operation]]:
    refs = obj({"resource": TEXT, "download": TEXT})
    file = obj({"name": TEXT, "date": NUMBER, "size": NUMBER, "refs": refs})
    listed = operation("List the service's log; needs a key of scope admin.", done=obj({"files": array(file)}))
    sent = operation("Get the log; needs a key of scope admin.", 404, parameters=[in_path("name", "The log's name.")])
    sent["responses"] = {"200": {"description": "The log.", "content": {"text/plain": {"schema": TEXT}}}} | {
        status: each for status, each in sent["responses"].items() if status != "204"
    }
    return {
        "/api/logs": {"get": listed},
        "/plugin/logging/logs": {"get": listed},
        "/plugin/logging/logs/{name}": {"get": sent},
        "/downloads/logs/{name}": {"get": sent},
    }


def _metrics() -> dict[str, dict[str, Operation]]:
    metrics = operation("Get the metrics, for Prometheus.")
    kinds = {"text/plain": {"schema": TEXT}, "application/openmetrics-text": {"schema": TEXT}}
    metrics["responses"] = {"200": {"description": "The metrics.", "content": kinds}} | {
        status: each for status, each in metrics["responses"].items() if status != "204"
    }
    return {"/metrics": {"get": metrics}}


def _others() -> dict[str, dict[str, Operation]]:
    paths = array({"type": "string", "minLength": 1, "maxLength": 2048}, minItems=1, maxItems=256)
    links = obj({"links": {"type": "object", "additionalProperties": TEXT}, "expires": NUMBER})
    return {
        "/api/system/info": {"get": operation("Get the machine's properties.", done=obj({"systeminfo": _FREE}))},
        "/api/links": {
            "post": operation(
                "Sign addresses of files and pictures: they work without a key for at least ten minutes.",
                done=links,
                body=obj({"paths": paths}),
            )
        },
    }
