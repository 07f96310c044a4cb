"""The description of the API, as OpenAPI 3.1. It is built on request, and tests check the daemon against it.

Its texts are for developers of clients; `api_page` renders them as a page.
"""

from typing import Any

from daemon import __version__
from daemon.front.http import openapi_cameras, openapi_clients, openapi_companions, openapi_queue
from daemon.front.http.openapi_parts import BOOLEAN, FORM_BOOLEAN, JOB_KEY, NUMBER, TEXT, Operation, Schema, refusals
from daemon.front.http.openapi_parts import cached as _cached
from daemon.front.http.openapi_parts import command as _command
from daemon.front.http.openapi_parts import in_path as _in_path
from daemon.front.http.openapi_parts import json_of as _json
from daemon.front.http.openapi_parts import keyed as _keyed
from daemon.front.http.openapi_parts import keyless as _keyless
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
            "description": "OctoPrint's API for one printer. 204 means accepted, not finished: check the state. "
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


# -- the paths ---------------------------------------------------------------------------------------------


def _item(operations: dict[str, Operation]) -> dict[str, Operation]:
    """Add HEAD to an item with GET, and the refusals that depend on the method or on the core."""
    operations = {method: _with_refusals(method, each) for method, each in operations.items()}
    if "get" in operations:
        get = operations["get"]
        answers = {status: {"description": each["description"]} for status, each in get["responses"].items()}
        head = {**get, "summary": "GET without the body.", "responses": answers}
        return {**operations, "head": head}
    return operations


def _with_refusals(method: str, operation: Operation) -> Operation:
    """Add 408 if the operation changes something, and 501 if it asks the core."""
    too_late = refusals(408) if method != "get" else {}
    other_version = refusals(501) if "503" in operation["responses"] else {}
    return {**operation, "responses": {**operation["responses"], **too_late, **other_version}}


def _paths() -> dict[str, dict[str, Operation]]:
    own = {**_job(), **_files(), **_printer(), **_server(), **_access(), **_plugins()}
    others = (openapi_cameras, openapi_clients, openapi_companions, openapi_queue)
    return {path: item for module in others for path, item in module.paths().items()} | own


def _job() -> dict[str, dict[str, Operation]]:
    job = {
        "get": _operation("Get file, progress and state; also works without a printer.", done=ref("Job")),
        "post": _keyed(
            _operation(
                "Start, pause, resume, restart or cancel the print.",
                409,
                body=one_of(
                    _command("start", force_=BOOLEAN, job_=JOB_KEY),
                    _command("restart", force_=BOOLEAN),
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
        "/api/control/job": {
            **job,
            "post": {**job["post"], "summary": "The same as /api/job."},
        },
        "/api/job/filament": {
            "get": _operation("Get the filament that the print has used, by tool.", done=ref("JobFilament"))
        },
        "/api/job/keyed": {
            "get": _operation(
                "Get the print of an idempotency key.",
                400,
                503,
                done=ref("KeyedPrint"),
                parameters=[
                    _query("key", TEXT, "The key."),
                    _query("behind", TEXT, "The number of a job that the client knows: is it still in the record?"),
                ],
            )
        },
        "/api/connection": {
            "get": _operation(
                "Get the connection, and the available ports and baudrates.", 503, done=ref("Connection")
            ),
            "post": _operation("Connect in the background, or disconnect.", 409, 503, body=commands),
        },
    }


def _files() -> dict[str, dict[str, Operation]]:
    recursive = _query("recursive", FORM_BOOLEAN, "Include the contents of folders.")
    listing = _cached(_operation("List the uploads.", done=ref("Files"), parameters=[recursive]))
    path = _in_path("path", "The path of the file or folder.")
    commands = one_of(
        _command("select", print_=BOOLEAN, force_=BOOLEAN, touches_=BOOLEAN, job_=JOB_KEY, bedClear_=BOOLEAN),
        _command("unselect"),
        _command("check"),
        _command("copy", destination=TEXT),
        _command("move", destination=TEXT),
    )
    change = _operation("Select, unselect, check, copy or move.", 404, 409, 500, 507, body=commands, parameters=[path])
    change["responses"]["200"] = {
        "description": "The file was checked. `known` says whether there is an analysis of it.",
        **_json(obj({"known": BOOLEAN})),
    }
    change["responses"]["201"] = {"description": "Copied or moved.", **_json(ref("FileReference"))}
    layers = _query("layers", FORM_BOOLEAN, "Include the file's layers.")
    about = _operation("Get a file or folder.", 400, 404, 500, done=ref("File"), parameters=[path, recursive, layers])
    delete = _operation("Delete a file, or a folder and its contents.", 400, 404, 409, 500, parameters=[path])
    download = _download("Download a file.", "application/octet-stream", path)
    picture = _download("Get a thumbnail that the slicer has put into the file.", "image/png", path)
    picture["parameters"] = [path, _query("size", TEXT, "Width and height, such as 32x32; by default the largest.")]
    toolpath = _download("Get the nozzle's path, for drawing it.", "application/octet-stream", path, 409)
    toolpath["parameters"] = [path, _query("v", TEXT, "The toolpath's id; then the answer may be cached for ever.")]
    unsupported = _operation("Refused: the printer's SD card is not supported.", 404, body=obj({}))
    return {
        "/api/files": {"get": listing},
        "/api/files/local": {"get": listing, "post": _keyed(_upload())},
        "/api/files/sdcard": {"get": _operation("List no files.", done=ref("NoFiles")), "post": unsupported},
        "/api/files/local/{path}": {"get": _cached(about), "post": _keyed(change), "delete": delete},
        "/api/files/local/{path}/toolpath": {"get": _cached(toolpath)},
        "/downloads/files/local/{path}": {"get": download},
        "/downloads/thumbnails/local/{path}": {"get": picture},
    }


def _download(summary: str, kind: str, path: dict[str, Any], *errors: int) -> Operation:
    """Describe an operation that answers with bytes."""
    operation = _operation(summary, 400, 404, 500, *errors, done={}, parameters=[path])
    operation["responses"]["200"] = {"description": "The bytes.", "content": {kind: {"schema": {}}}}
    return operation


def _library() -> Operation:
    operation = _operation("Get the client library, an ES module for browsers and Node 20.", done={})
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
        _query("history", FORM_BOOLEAN, "Include past temperatures."),
        _query("limit", {"type": "integer", "minimum": 0}, "The number of past readings."),
    ]
    exclude = _query("exclude", TEXT, "Parts to leave out, separated by commas: temperature, sd, state, safety.")
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
            "get": _operation(f"Get the temperature of the {what}.", 409, done=ref("Temperatures"), parameters=history),
            "post": _operation(f"Control the {what}.", 409, 503, body=body),
        }

    printer = _operation("Get temperatures and state.", 409, done=ref("Printer"), parameters=[exclude, *history])
    card = _operation("Refused: the printer's SD card is not supported.", 404)
    return {
        "/api/printer": {"get": printer},
        "/api/printer/temperatures": {
            "get": _operation("Get past temperatures.", done=ref("Temperatures"), parameters=history[1:])
        },
        "/api/printer/tool": heater("hotends", tool),
        "/api/printer/bed": heater("bed", one_of(target, offset)),
        "/api/printer/chamber": heater("chamber", one_of(target, offset)),
        "/api/printer/printhead": {"post": _operation("Move or home the head; set the speed.", 409, 503, body=head)},
        "/api/printer/command": {"post": _operation("Send G-code, all of it or none.", 404, 409, 503, body=gcode)},
        "/api/printer/command/custom": {
            "get": _operation("List no custom controls.", done=obj({"controls": array({})}))
        },
        "/api/printer/error": {"get": _operation("Get the last error.", done=ref("PrinterError"))},
        "/api/printer/sd": {
            "get": card,
            "post": _operation("Refused: the printer's SD card is not supported.", 404, body=obj({})),
        },
    }


def _server() -> dict[str, dict[str, Operation]]:
    source = _in_path("source", "core; plugin and custom have no commands.")
    action = _in_path("action", "An action from the list.")
    commands = array(ref("SystemCommand"))
    free = obj({}, required=[])
    macros = obj({"macros": array(ref("Macro")), "scripts": {"type": "object"}})
    run = obj({"command": {"const": "run"}, "name": TEXT})
    return {
        "/api/version": {"get": _operation("Get the version of API and server.", done=ref("Version"))},
        "/api/server": {
            "get": _operation("Get the version.", done=obj({"version": TEXT, "safemode": {"type": "null"}}))
        },
        "/api/printerpresets": {
            "get": _operation("List the printer presets, and the suggested one.", done=ref("Presets")),
            "post": _operation(
                "Choose a preset, or none; 409 if the configuration describes the printer.",
                409,
                503,
                body=_command("use", preset=nullable("string")),
            ),
        },
        "/api/system/commands": {
            "get": _operation(
                "List the configured commands.", done=obj({"core": commands, "plugin": commands, "custom": commands})
            )
        },
        "/api/system/commands/{source}": {
            "get": _operation("List the commands of a source.", 404, done=commands, parameters=[source])
        },
        "/api/system/commands/core/{action}": {
            "post": _operation("Run a command; needs a key of scope admin.", 404, 409, 500, parameters=[action])
        },
        "/api/slicing": {"get": _operation("List no slicers.", done=free)},
        "/api/macros": {
            "get": _operation(
                "List the macros of the configuration.",
                done=macros,
            ),
            "post": _operation(
                "Send the commands of a macro; if one is refused, none is sent.", 404, 409, 503, body=run
            ),
        },
        **_health(),
        "/client/octoprint.mjs": {"get": _keyless(_cached(_library()))},
        "/api/openapi.json": {"get": _keyless(_operation("This description.", done=free))},
    }


def _health() -> dict[str, dict[str, Operation]]:
    kind = _in_path("kind", "faults or sessions.", {"enum": ["faults", "sessions"]})
    name = _in_path("name", "A name from /api/health.")
    file = _operation("Download a recording, for `nozzled replay`.", 404, done={}, parameters=[kind, name])
    file["responses"]["200"] = {
        "description": "The bytes.", "content": {"application/octet-stream": {"schema": {}}}
    }  # fmt: skip
    dialogue = obj({"address": TEXT, "date": TEXT, "lines": array(TEXT), "more": {"type": "integer"}})
    return {
        "/api/health": {"get": _operation("Get the state of connection, service and machine.", done=ref("Health"))},
        "/api/recordings/{kind}/{name}": {"get": file},
        "/api/recordings/{kind}/{name}/dialogue": {
            "get": _operation("Get the last lines of a recording.", 404, 409, done=dialogue, parameters=[kind, name])
        },
    }


def _access() -> dict[str, dict[str, Operation]]:
    session = obj({"session": TEXT}, required=[])
    logout = _operation("End all sessions of the key, or one.", 400, 413, 415)
    logout["requestBody"] = {"required": False, **_json(session)}
    app = _in_path("token", "The app's token, from the answer to the request.")
    user = _in_path("token", "The user's token, from the list of requests.")
    poll = _operation("Get the decision.", 404, done=obj({"api_key": TEXT}), parameters=[app])
    poll["responses"]["202"] = {"description": "Not decided yet.", **_json(obj({"message": TEXT}))}
    accepted = obj({"app_token": TEXT, "auth_dialog": TEXT, "code": TEXT})
    ask = obj(
        {"app": {"type": "string", "minLength": 1, "maxLength": 60}, "user": nullable("string")}, required=["app"]
    )
    decision = obj({"decision": BOOLEAN, "scope": {"enum": ["read", "control", "admin"]}}, required=["decision"])
    return {
        "/api/logout": {"post": logout},
        "/api/currentuser": {"get": _keyless(_operation("Get the user of this key.", done=ref("CurrentUser")))},
        **_pairing(),
        "/plugin/appkeys/probe": {"get": _keyless(_operation("Check that apps may request keys."))},
        "/plugin/appkeys/request": {
            "post": _keyless(_operation("Request a key for an app.", done=accepted, status=201, body=ask))
        },
        "/plugin/appkeys/request/{token}": {"get": _keyless(poll)},
        "/plugin/appkeys/decision/{token}": {
            "post": _operation(
                "Decide about a request; needs a key of scope admin.", 404, 409, 500, body=decision, parameters=[user]
            )
        },
    }


def _pairing() -> dict[str, dict[str, Operation]]:
    scope = {"enum": ["read", "control", "admin"]}
    name = {"type": "string", "minLength": 1, "maxLength": 60}
    pair = obj({"code": {"type": "string", "maxLength": 64}, "name": name}, required=["code"])
    code = obj({"code": TEXT, "link": TEXT, "links": array(TEXT), "expires": NUMBER, "scope": scope, "qr": obj({})})
    paired = obj({"key": TEXT, "name": TEXT, "scope": scope})
    key = _in_path("name", "The key's name.")
    return {
        "/api/pair": {
            "post": _keyless(_operation("Exchange a code for a key.", 409, 500, done=paired, status=201, body=pair))
        },
        "/api/pair/codes": {
            "post": _operation(
                "Create a code that works once; needs a key of scope admin.",
                done=code,
                status=201,
                body=obj({"scope": scope}, required=[]),
            )
        },
        "/api/stepup": {
            "post": _operation(
                "Exchange a key or code of scope admin for a key that has scope admin for 15 minutes.",
                done=obj({"key": TEXT, "expires": NUMBER}),
                status=201,
                body=obj({"key": TEXT, "code": TEXT}, required=[]),
            ),
            "delete": _operation("Revoke the keys that POST has given in exchange."),
        },
        "/api/keys": {
            "get": _operation(
                "List the keys; without scope admin, only the client's own.", done=obj({"keys": array(ref("Key"))})
            )
        },
        "/api/keys/{name}": {
            "delete": _operation(
                "Revoke a key; without scope admin, only the client's own.", 404, 500, parameters=[key]
            )
        },
    }


def _plugins() -> dict[str, dict[str, Operation]]:
    keys = obj({"keys": array(obj({"app_id": TEXT, "user_id": TEXT})), "pending": {"type": "object"}})
    created = obj({"app_id": TEXT, "user_id": TEXT, "api_key": TEXT})
    scope = {"enum": ["read", "control", "admin"]}
    manage = _operation(
        "Create a key, which is shown only now, or revoke one; needs a key of scope admin.",
        404,
        409,
        500,
        done=created,
        body=one_of(_command("generate", app=TEXT, scope_=scope), _command("revoke", app=TEXT)),
    )
    manage["responses"]["204"] = {"description": "Revoked."}
    prompt = obj({"text": TEXT, "choices": array(TEXT)}, required=[])
    note = obj({"timestamp": nullable("integer"), "message": TEXT})
    choice = _command("select", choice={"type": "integer", "minimum": 0}, prompt_=TEXT)
    return {
        "/api/plugin/appkeys": {"get": _operation("List the keys, and the open requests.", done=keys), "post": manage},
        "/api/plugin/action_command_notification": {
            "get": _operation("Get the panel's last message.", done=obj({"notifications": array(note)}))
        },
        "/api/plugin/action_command_prompt": {
            "get": _operation("Get the panel's prompt.", done=prompt),
            "post": _operation("Answer the prompt.", 409, 503, body=choice),
        },
    }
