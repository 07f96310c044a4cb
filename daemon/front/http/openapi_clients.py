"""The description of what clients ask first: settings, profile, users, plug-ins, logs; and of ours beside it."""

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
    """Return the operations by address."""
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
    text, flag = {"type": "string", "maxLength": 200}, {"type": "boolean"}
    camera = obj({"streamUrl": text, "snapshotUrl": text, "flipH": flag, "flipV": flag, "rotate90": flag}, required=[])
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
            "get": cached(operation("Tell the settings that clients read.", done=ref("Settings"))),
            "post": operation(
                "Change name, camera or presets of temperatures, all that is asked for or nothing; takes a key of "
                "scope admin. What the configuration file says, and what cannot be changed, is 409.",
                409,
                500,
                507,
                done=ref("Settings"),
                body=change,
            ),
        },
        "/api/printer/preheat": {
            "post": operation("Heat by a preset of the settings, or turn all heaters off.", 404, 409, 503, body=heat)
        },
    }


def _profiles() -> dict[str, dict[str, Operation]]:
    identity = in_path("id", "Of the profile: _default.")
    change = obj({"profile": obj({"name": TEXT, "model": TEXT, "volume": _FREE, "extruder": _FREE}, required=[])})
    return {
        "/api/printerprofiles": {
            "get": cached(operation("List the profile.", done=ref("Profiles"))),
            "post": operation("Refuse: there is one.", 409, body=_FREE),
        },
        "/api/printerprofiles/{id}": {
            "get": cached(operation("Tell the profile.", 404, done=ref("Profile"), parameters=[identity])),
            "patch": operation(
                "Change what is given of it; takes a key of scope admin. 409 while printing, and where the "
                "configuration file describes the printer.",
                404,
                409,
                500,
                503,
                507,
                done=obj({"profile": ref("Profile")}),
                body=change,
                parameters=[identity],
            ),
            "delete": operation("Refuse: it is in use.", 404, 409, parameters=[identity]),
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
    name, key = in_path("name", "Of the key."), in_path("key", "Of the group.")
    login = operation(
        "Ask who the key belongs to, and for a session; in JSON, a form or the query.",
        400,
        413,
        415,
        done=ref("Login"),
        parameters=[query("passive", {"type": "boolean"}, "In place of a body.")],
    )
    login["requestBody"] = {"required": False, **json_of(obj({"passive": BOOLEAN}))}
    every = operation(
        "List the users: one for each key; who is no admin sees itself.", done=obj({"users": array(user)})
    )
    refuse = operation("Refuse: a user is a key.", 409)
    one = {
        "get": operation("Tell of a user.", 404, done=user, parameters=[name]),
        "post": operation("Refuse, too.", 409, parameters=[name]),
        "put": operation("Refuse, too.", 409, parameters=[name]),
    }
    return {
        "/api/login": {"post": keyless(login)},
        "/api/users": {"get": every, "post": refuse},
        "/api/users/{name}": one,
        "/api/access/users": {"get": every, "post": refuse},
        "/api/access/users/{name}": one,
        "/api/access/groups": {"get": operation("List the groups.", done=obj({"groups": array(group)}))},
        "/api/access/groups/{key}": {"get": operation("Tell of a group.", 404, done=group, parameters=[key])},
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
        "/plugin/softwareupdate/check": {"get": operation("Tell the version; nobody is asked.", done=checked)},
    }


def _logs() -> dict[str, dict[str, Operation]]:
    refs = obj({"resource": TEXT, "download": TEXT})
    file = obj({"name": TEXT, "date": NUMBER, "size": NUMBER, "refs": refs})
    listed = operation("List the service's log; takes a key of scope admin.", done=obj({"files": array(file)}))
    sent = operation("Send the log; takes a key of scope admin.", 404, parameters=[in_path("name", "As listed.")])
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
    told = operation("Tell all numbers, for Prometheus.")
    kinds = {"text/plain": {"schema": TEXT}, "application/openmetrics-text": {"schema": TEXT}}
    told["responses"] = {"200": {"description": "The numbers.", "content": kinds}} | {
        status: each for status, each in told["responses"].items() if status != "204"
    }
    return {"/metrics": {"get": told}}


def _others() -> dict[str, dict[str, Operation]]:
    paths = array({"type": "string", "minLength": 1, "maxLength": 2048}, minItems=1, maxItems=256)
    links = obj({"links": {"type": "object", "additionalProperties": TEXT}, "expires": NUMBER})
    return {
        "/api/system/info": {"get": operation("Tell about the machine.", done=obj({"systeminfo": _FREE}))},
        "/api/links": {
            "post": operation(
                "Sign addresses of files and pictures: they are good for ten minutes or more without a key.",
                done=links,
                body=obj({"paths": paths}),
            )
        },
    }
