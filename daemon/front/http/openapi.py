"""The description of the API, as OpenAPI 3.1. Built when it is asked for; tests hold the daemon against it.

What is written here in words is for people who write clients; `api_page` makes a page of it.
"""

from typing import Any

from daemon import __version__
from daemon.front.http import openapi_cameras, openapi_clients, openapi_companions, openapi_queue
from daemon.front.http.openapi_parts import BOOLEAN, FORM_BOOLEAN, JOB_KEY, NUMBER, TEXT, Operation, Schema
from daemon.front.http.openapi_parts import cached as _cached
from daemon.front.http.openapi_parts import command as _command
from daemon.front.http.openapi_parts import in_path as _in_path
from daemon.front.http.openapi_parts import json_of as _json
from daemon.front.http.openapi_parts import keyed as _keyed
from daemon.front.http.openapi_parts import keyless as _open
from daemon.front.http.openapi_parts import operation as _operation
from daemon.front.http.openapi_parts import query as _query
from daemon.front.http.openapi_schemas import SCHEMAS, array, nullable, obj, one_of, ref


def describe() -> dict[str, Any]:
    """Return the whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "nozzled",
            "version": __version__,
            "description": "OctoPrint's API for one printer. 204 means taken, not done: look at the state. "
            "Unknown keys are ignored.",
        },
        "security": [{"key": []}, {"bearer": []}],
        "paths": {path: _item(operations) for path, operations in _paths().items()},
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": SCHEMAS,
        },
    }


# -- the addresses -----------------------------------------------------------------------------------------


def _item(operations: dict[str, Operation]) -> dict[str, Operation]:
    """Say of HEAD what there is to say: it is GET without the body."""
    if "get" in operations:
        get = operations["get"]
        answers = {status: {"description": each["description"]} for status, each in get["responses"].items()}
        head = {**get, "summary": "GET without the body.", "responses": answers}
        return {**operations, "head": head}
    return operations


def _paths() -> dict[str, dict[str, Operation]]:
    mine = {**_job(), **_files(), **_printer(), **_server(), **_access(), **_plugins()}
    apart = (openapi_cameras, openapi_clients, openapi_companions, openapi_queue)
    return {path: item for module in apart for path, item in module.paths().items()} | mine


def _job() -> dict[str, dict[str, Operation]]:
    job = {
        "get": _operation("Tell file, progress and state; also without a printer.", done=ref("Job")),
        "post": _keyed(
            _operation(
                "Start, pause, resume, restart or cancel the print.",
                409,
                body=one_of(
                    _command("start", force_=BOOLEAN, job_=JOB_KEY),
                    _command("restart"),
                    _command("cancel"),
                    _command("pause", action_={"enum": ["pause", "resume", "toggle"]}),
                ),
            )
        ),
    }
    connect = _command(
        "connect",
        port_=TEXT,
        baudrate_={"type": "integer", "minimum": 300, "maximum": 10_000_000},
        printerProfile_={"const": "_default"},
        find_=BOOLEAN,
        save_=BOOLEAN,
    )
    commands = one_of(connect, *(_command(name) for name in ("disconnect", "repair", "fake_ack", "seen")))
    return {
        "/api/job": job,
        "/api/control/job": {**job, "post": {**job["post"], "summary": "As /api/job, by its name in old docs."}},
        "/api/job/filament": {
            "get": _operation("Tell what the print has used of each tool's filament.", done=ref("JobFilament"))
        },
        "/api/job/keyed": {
            "get": _operation(
                "Tell what became of the print with an idempotency key.",
                400,
                503,
                done=ref("KeyedPrint"),
                parameters=[_query("key", TEXT, "The key."), _query("behind", TEXT, "The number of an earlier job.")],
            )
        },
        "/api/connection": {
            "get": _operation("Tell what is connected, and what could be.", done=ref("Connection")),
            "post": _operation("Connect in the background, or disconnect.", 409, body=commands),
        },
    }


def _files() -> dict[str, dict[str, Operation]]:
    recursive = _query("recursive", FORM_BOOLEAN, "With what is in folders.")
    listing = _cached(_operation("List the uploads.", done=ref("Files"), parameters=[recursive]))
    path = _in_path("path", "Path among the uploads.")
    commands = one_of(
        _command("select", print_=BOOLEAN, force_=BOOLEAN, job_=JOB_KEY, bedClear_=BOOLEAN),
        _command("unselect"),
        _command("check"),
        _command("copy", destination=TEXT),
        _command("move", destination=TEXT),
    )
    change = _operation("Select, unselect, check, copy or move.", 404, 409, 500, 507, body=commands, parameters=[path])
    change["responses"]["201"] = {"description": "Copied or moved.", **_json(ref("FileReference"))}
    layers = _query("layers", FORM_BOOLEAN, "With the layers of a file, one by one.")
    about = _operation(
        "Tell about a file or folder.", 400, 404, 500, done=ref("File"), parameters=[path, recursive, layers]
    )
    delete = _operation("Delete a file, or a folder and all in it.", 400, 404, 409, 500, parameters=[path])
    download = _fetching("Fetch a file.", "application/octet-stream", path)
    picture = _fetching("Fetch a picture that a slicer has put into a file.", "image/png", path)
    picture["parameters"] = [path, _query("size", TEXT, "Width and height, as 32x32; else the largest.")]
    toolpath = _fetching("Fetch where the nozzle goes, for a picture.", "application/octet-stream", path, 409)
    toolpath["parameters"] = [path, _query("v", TEXT, "The id of it, which makes the answer one for ever.")]
    nowhere = _operation("Refuse: the printer's card is not used.", 404, body=obj({}))
    return {
        "/api/files": {"get": listing},
        "/api/files/local": {"get": listing, "post": _keyed(_upload())},
        "/api/files/sdcard": {"get": _operation("List nothing.", done=ref("NoFiles")), "post": nowhere},
        "/api/files/local/{path}": {"get": _cached(about), "post": _keyed(change), "delete": delete},
        "/api/files/local/{path}/toolpath": {"get": _cached(toolpath)},
        "/downloads/files/local/{path}": {"get": download},
        "/downloads/thumbnails/local/{path}": {"get": picture},
    }


def _fetching(summary: str, kind: str, path: dict[str, Any], *errors: int) -> Operation:
    """Describe an operation that answers with bytes."""
    operation = _operation(summary, 400, 404, 500, *errors, done={}, parameters=[path])
    operation["responses"]["200"] = {"description": "The bytes.", "content": {kind: {"schema": {}}}}
    return operation


def _library() -> Operation:
    operation = _operation("Fetch the client library, an ES module for browsers and Node 20.", done={})
    operation["responses"]["200"] = {"description": "The module.", "content": {"text/javascript": {"schema": TEXT}}}
    return operation


def _upload() -> Operation:
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = obj(
        {
            "file": binary,
            "foldername": TEXT,
            "path": TEXT,
            "filename": TEXT,
            "select": FORM_BOOLEAN,
            "print": FORM_BOOLEAN,
            "noOverwrite": FORM_BOOLEAN,
            "plate": {"type": "string", "pattern": "^[0-9]{1,4}$"},
            "force": FORM_BOOLEAN,
            "userdata": TEXT,
            "size": TEXT,
            "sha1": TEXT,
            "modified": TEXT,
            "job": JOB_KEY,
        }
    )
    upload = _operation(
        "Upload a file, or make a folder.", 400, 409, 413, 415, 500, 507, done=ref("Uploaded"), status=201
    )
    upload["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    return upload


def _printer() -> dict[str, dict[str, Operation]]:
    history = [
        _query("history", FORM_BOOLEAN, "With past temperatures."),
        _query("limit", {"type": "integer", "minimum": 0}, "How many of them."),
    ]
    exclude = _query("exclude", TEXT, "Of temperature, sd, state, safety: what is not wanted, with commas.")
    target, offset = _command("target", target=NUMBER), _command("offset", offset=NUMBER)
    targets = {"type": "object", "additionalProperties": NUMBER}
    tool = one_of(
        _command("select", tool=TEXT),
        _command("target", targets=targets),
        _command("offset", offsets=targets),
        _command("extrude", amount=NUMBER, speed_=NUMBER),
        _command("flowrate", factor=NUMBER),
    )
    axes = array({"enum": ["x", "y", "z"]})
    head = one_of(
        _command("jog", x_=NUMBER, y_=NUMBER, z_=NUMBER, absolute_=BOOLEAN, speed_=NUMBER),
        _command("home", axes=axes),
        _command("feedrate", factor=NUMBER),
    )
    values = {"type": "object"}
    gcode = one_of(
        obj({"command": TEXT, "parameters": values}, required=["command"]),
        obj({"commands": array(TEXT, minItems=1), "parameters": values}, required=["commands"]),
    )

    def heater(what: str, body: Schema) -> dict[str, Operation]:
        return {
            "get": _operation(
                f"Tell the temperature of the {what}.", 409, done=ref("Temperatures"), parameters=history
            ),
            "post": _operation(f"Command the {what}.", 409, 503, body=body),
        }

    seen = _operation("Tell temperatures and state.", 409, done=ref("Printer"), parameters=[exclude, *history])
    card = _operation("Refuse: the printer's card is not used.", 404)
    return {
        "/api/printer": {"get": seen},
        "/api/printer/temperatures": {
            "get": _operation("Tell the past temperatures.", done=ref("Temperatures"), parameters=history[1:])
        },
        "/api/printer/tool": heater("hotends", tool),
        "/api/printer/bed": heater("bed", one_of(target, offset)),
        "/api/printer/chamber": heater("chamber", one_of(target, offset)),
        "/api/printer/printhead": {"post": _operation("Move or home the head; set the speed.", 409, 503, body=head)},
        "/api/printer/command": {"post": _operation("Send G-code, all of it or none.", 404, 409, 503, body=gcode)},
        "/api/printer/command/custom": {"get": _operation("List no controls.", done=obj({"controls": array({})}))},
        "/api/printer/error": {"get": _operation("Tell the last error.", done=ref("PrinterError"))},
        "/api/printer/sd": {"get": card, "post": _operation("Refuse, too.", 404, body=obj({}))},
    }


def _server() -> dict[str, dict[str, Operation]]:
    source = _in_path("source", "core; the others have none.")
    action = _in_path("action", "As listed.")
    commands = array(ref("SystemCommand"))
    free = obj({}, required=[])
    macros = obj({"macros": array(ref("Macro")), "scripts": {"type": "object"}})
    run = obj({"command": {"const": "run"}, "name": TEXT})
    return {
        "/api/version": {"get": _operation("Tell which API this is.", done=ref("Version"))},
        "/api/server": {
            "get": _operation("Tell the version.", done=obj({"version": TEXT, "safemode": {"type": "null"}}))
        },
        "/api/printerpresets": {
            "get": _operation("List printers that are known, and the one that it seems to be.", done=ref("Presets")),
            "post": _operation(
                "Choose one, or none; where the configuration describes the printer that is 409.",
                409,
                body=_command("use", preset=nullable("string")),
            ),
        },
        "/api/system/commands": {
            "get": _operation(
                "List what is configured.", done=obj({"core": commands, "plugin": commands, "custom": commands})
            )
        },
        "/api/system/commands/{source}": {
            "get": _operation("List what one source has.", 404, done=commands, parameters=[source])
        },
        "/api/system/commands/core/{action}": {
            "post": _operation("Run it; takes a key of scope admin.", 404, 409, 500, parameters=[action])
        },
        "/api/slicing": {"get": _operation("List none.", done=free)},
        "/api/macros": {
            "get": _operation(
                "List the macros of the configuration.",
                done=macros,
            ),
            "post": _operation("Send the commands of one, all or none.", 404, 409, 503, body=run),
        },
        **_health(),
        "/client/octoprint.mjs": {"get": _open(_cached(_library()))},
        "/api/openapi.json": {"get": _open(_operation("This description.", done=free))},
    }


def _health() -> dict[str, dict[str, Operation]]:
    kind = _in_path("kind", "faults or sessions.", {"enum": ["faults", "sessions"]})
    name = _in_path("name", "As /api/health lists it.")
    file = _operation("Fetch a recording, as `nozzled replay` takes it.", 404, done={}, parameters=[kind, name])
    file["responses"]["200"] = {
        "description": "The bytes.", "content": {"application/octet-stream": {"schema": {}}}
    }  # fmt: skip
    said = obj({"address": TEXT, "date": TEXT, "lines": array(TEXT), "more": {"type": "integer"}})
    return {
        "/api/health": {"get": _operation("Tell how line, service and machine do.", done=ref("Health"))},
        "/api/recordings/{kind}/{name}": {"get": file},
        "/api/recordings/{kind}/{name}/dialogue": {
            "get": _operation("Tell the last lines of a recording.", 404, 409, done=said, parameters=[kind, name])
        },
    }


def _access() -> dict[str, dict[str, Operation]]:
    session = obj({"session": TEXT}, required=[])
    logout = _operation("End the key's sessions, or one.", 400, 413, 415)
    logout["requestBody"] = {"required": False, **_json(session)}
    app = _in_path("token", "As the answer to the request says.")
    user = _in_path("token", "As the list of requests says.")
    poll = _operation("Ask whether it has been decided.", 404, done=obj({"api_key": TEXT}), parameters=[app])
    poll["responses"]["202"] = {"description": "Not yet.", **_json(obj({"message": TEXT}))}
    asked = obj({"app_token": TEXT, "auth_dialog": TEXT, "code": TEXT})
    ask = obj(
        {"app": {"type": "string", "minLength": 1, "maxLength": 60}, "user": nullable("string")}, required=["app"]
    )
    decision = obj({"decision": BOOLEAN, "scope": {"enum": ["read", "control", "admin"]}}, required=["decision"])
    return {
        "/api/logout": {"post": logout},
        "/api/currentuser": {"get": _open(_operation("Tell who comes with this key.", done=ref("CurrentUser")))},
        **_pairing(),
        "/plugin/appkeys/probe": {"get": _open(_operation("Tell that apps may ask for a key."))},
        "/plugin/appkeys/request": {
            "post": _open(_operation("Ask for a key for an app.", done=asked, status=201, body=ask))
        },
        "/plugin/appkeys/request/{token}": {"get": _open(poll)},
        "/plugin/appkeys/decision/{token}": {
            "post": _operation("Decide; takes a key of scope admin.", 404, 500, body=decision, parameters=[user])
        },
    }


def _pairing() -> dict[str, dict[str, Operation]]:
    scope = {"enum": ["read", "control", "admin"]}
    name = {"type": "string", "minLength": 1, "maxLength": 60}
    pair = obj({"code": {"type": "string", "maxLength": 64}, "name": name}, required=["code"])
    code = obj({"code": TEXT, "link": TEXT, "links": array(TEXT), "expires": NUMBER, "scope": scope, "qr": obj({})})
    paired = obj({"key": TEXT, "name": TEXT, "scope": scope})
    key = _in_path("name", "Of the key.")
    return {
        "/api/pair": {
            "post": _open(_operation("Exchange a code for a key.", 409, 500, done=paired, status=201, body=pair))
        },
        "/api/pair/codes": {
            "post": _operation(
                "Make a code that is good once; takes a key of scope admin.",
                done=code,
                status=201,
                body=obj({"scope": scope}, required=[]),
            )
        },
        "/api/stepup": {
            "post": _operation(
                "Get a key that may do all for 15 minutes, for a key or code of scope admin.",
                done=obj({"key": TEXT, "expires": NUMBER}),
                status=201,
                body=obj({"key": TEXT, "code": TEXT}, required=[]),
            ),
            "delete": _operation("Step down again."),
        },
        "/api/keys": {
            "get": _operation("List the keys; who is no admin sees the own one.", done=obj({"keys": array(ref("Key"))}))
        },
        "/api/keys/{name}": {
            "delete": _operation("Take a key away, the own one or, by an admin, any.", 404, 500, parameters=[key])
        },
    }


def _plugins() -> dict[str, dict[str, Operation]]:
    keys = obj({"keys": array(obj({"app_id": TEXT, "user_id": TEXT})), "pending": {"type": "object"}})
    made = obj({"app_id": TEXT, "user_id": TEXT, "api_key": TEXT})
    scope = {"enum": ["read", "control", "admin"]}
    manage = _operation(
        "Make a key, which is shown this once, or revoke one; takes a key of scope admin.",
        404,
        409,
        500,
        done=made,
        body=one_of(_command("generate", app=TEXT, scope_=scope), _command("revoke", app=TEXT)),
    )
    manage["responses"]["204"] = {"description": "Revoked."}
    prompt = obj({"text": TEXT, "choices": array(TEXT)}, required=[])
    note = obj({"timestamp": nullable("integer"), "message": TEXT})
    choice = _command("select", choice={"type": "integer", "minimum": 0})
    return {
        "/api/plugin/appkeys": {"get": _operation("List keys, and apps that ask for one.", done=keys), "post": manage},
        "/api/plugin/action_command_notification": {
            "get": _operation("Tell the panel's last message.", done=obj({"notifications": array(note)}))
        },
        "/api/plugin/action_command_prompt": {
            "get": _operation("Tell what the panel asks.", done=prompt),
            "post": _operation("Answer it.", 409, body=choice),
        },
    }
