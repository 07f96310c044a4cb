"""The description of the farm's API in OpenAPI 3.1, built on request; tests check the server against it."""

from typing import Any

import msgspec

from daemon import __version__
from daemon.farm.http.about import NewKey
from daemon.farm.http.feed import FarmStateView
from daemon.farm.http.jobs import MAX_ROWS, Before, Edit, HandOver, Settlement
from daemon.farm.http.keys import FarmKey
from daemon.farm.http.printers import VERBS
from daemon.farm.http.views import CopyView, FarmJobView, PrinterView, WholeJob
from daemon.farm.list.values import FINAL_STATES, FileFacts, ListedEvent, Submission
from daemon.farm.messages import PRINTER_ID

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
STRUCTS = (
    FarmJobView, CopyView, WholeJob, PrinterView, FileFacts, ListedEvent, FarmKey, FarmStateView,
    Submission, Edit, Before, HandOver, Settlement, NewKey,
)  # fmt: skip

UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

ERRORS = {
    400: "The body is not valid, or a value in it or in the query is not allowed.",
    403: "No valid key, or the key does not allow this.",
    404: "Not found.",
    408: "The request came so late that its client has given up, so nothing was done.",
    409: "The present state does not allow this, or the printer refused it.",
    413: "The body is too large.",
    415: "This content type is not supported.",
    422: "The idempotency key was used for a different job before.",
    429: "Too many wrong keys came from this address. Retry-After says when to try again.",
    500: "A fault in the server or its disk.",
    502: "The camera delivered no picture.",
    503: "The list or the printer cannot be reached now, or too many clients are connected.",
    507: "There is no room for the file.",
}

TEXT: Schema = {"type": "string"}
ANY_OBJECT: Schema = {"type": "object"}


def describe() -> Schema:
    """Return the whole description."""
    _, schemas = msgspec.json.schema_components(STRUCTS, ref_template=REF)
    schemas = {name: _plain(each) for name, each in schemas.items()}
    schemas["Error"] = _obj(error=TEXT)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "nozzled farm",
            "version": __version__,
            "description": "One list of jobs for many printers. Times are Unix times in s, lengths mm.",
        },
        "security": [{"key": []}, {"bearer": []}],
        "paths": {path: _complete(item) for path, item in {**_jobs(), **_printers(), **_others()}.items()},
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": schemas,
        },
    }


def _plain(schema: Any) -> Any:
    """Describe tuples as arrays, since tools for OpenAPI do not know `prefixItems`. Their items have one type."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(each) for name, each in schema.items()}
    if items := plain.pop("prefixItems", None):
        plain["items"] = items[0]
    return plain


def _complete(item: dict[str, Schema]) -> dict[str, Schema]:
    """Add 408 to methods that change something, and HEAD to paths that have GET: the same without the body."""
    late_answer = {"408": _error(408)}
    item = {
        method: each if method == "get" else {**each, "responses": {**each["responses"], **late_answer}}
        for method, each in item.items()
    }
    if "get" not in item:
        return item
    answers = {status: {"description": each["description"]} for status, each in item["get"]["responses"].items()}
    return {**item, "head": {**item["get"], "summary": "GET without the body.", "responses": answers}}


# -- the paths ---------------------------------------------------------------------------------------------


def _jobs() -> dict[str, dict[str, Schema]]:
    job = _path("job", {"type": "string", "pattern": f"^({UUID}|[0-9]{{1,9}})$"}, "Id or number of a job.")
    copy = _path("copy", {"type": "string", "pattern": f"^{UUID}$"}, "Id of a copy.")
    listing = [
        _query(
            "state",
            {"enum": ["open", "ended", "all"]},
            "open: jobs that have not ended, in the order of printing; ended: those that have; all: both.",
        ),
        *_page(),
        _query("why", {"enum": ["true", "false"]}, "Whether to say why each of the first 100 jobs waits."),
    ]
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = _obj(file=binary, **dict.fromkeys(Submission.__struct_fields__, TEXT))
    form["required"] = ["file"]
    submit = _operation(
        "Submit a job: with its file, or with the hash of a stored file.",
        _ref(FarmJobView),
        400,
        404,
        413,
        415,
        422,
        507,
    )
    submit["responses"]["201"] = {**submit["responses"]["200"], "description": "A new job."}
    submit["responses"]["200"]["description"] = "The job that a request with this Idempotency-Key made before."
    submit["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": _ref(Submission)}, "multipart/form-data": {"schema": form}},
    }
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"}}
    submit["parameters"] = [{**key, "description": "The same key never makes a second job."}]
    paths = {
        "/jobs": {
            "get": _operation("List jobs.", _obj(jobs=_array(FarmJobView)), 400, parameters=listing),
            "post": submit,
        },
        "/jobs/{job}": {
            "get": _operation("Get a job with its copies, and why it waits.", _ref(WholeJob), 404, parameters=[job]),
            "patch": _operation("Change a job.", _ref(FarmJobView), 404, 409, body=Edit, parameters=[job]),
            "delete": _operation("Cancel a job.", _obj(copies=_array(CopyView)), 404, 409, parameters=[job]),
        },
        "/jobs/{job}/move": {
            "post": _operation(
                "Put a job before another one.", _ref(FarmJobView), 404, 409, body=Before, parameters=[job]
            )
        },
        "/jobs/{job}/hand_over": {
            "post": _operation(
                "Hand a whole job over to a site.", _ref(FarmJobView), 404, 409, body=HandOver, parameters=[job]
            )
        },
        "/copies/{copy}": {"get": _operation("Get a copy.", _ref(CopyView), 404, parameters=[copy])},
        "/copies/{copy}/settle": {
            "post": _operation(
                "Record the result of an orphan: done or failed.",
                _ref(CopyView),
                404,
                409,
                body=Settlement,
                parameters=[copy],
            )
        },
        "/copies/{copy}/again": {
            "post": _operation(
                "Print another copy in place of this one.", _ref(CopyView), 404, 409, status=201, parameters=[copy]
            )
        },
        "/copies/{copy}/cancel": {"post": _operation("Cancel a copy.", _ref(CopyView), 404, 409, parameters=[copy])},
    }
    for verb, what in (("hold", "Begin no more copies."), ("release", "Begin copies again.")):
        paths[f"/jobs/{{job}}/{verb}"] = {"post": _operation(what, _ref(FarmJobView), 404, 409, parameters=[job])}
    return {f"/api/farm{path}": item for path, item in paths.items()}


def _printers() -> dict[str, dict[str, Schema]]:
    printer = _path("printer", {"type": "string", "pattern": f"^{PRINTER_ID}$"}, "Id of a printer.")
    root = "/api/farm/printers"
    paths = {
        root: {"get": _operation("List the printers.", _obj(printers=_array(PrinterView)))},
        f"{root}/{{printer}}": {
            "get": _operation("Get a printer.", _ref(PrinterView), 404, parameters=[printer]),
            "delete": _operation(
                "Remove a printer from the list, if it is away.", None, 404, 409, parameters=[printer]
            ),
        },
        f"{root}/{{printer}}/picture": {
            "get": _bytes("Get a picture from its camera.", "image/jpeg", 404, 409, 502, parameters=[printer])
        },
    }
    for verb in VERBS:
        operation = _operation(f"Ask the printer's agent for `{verb}`.", None, 404, 409, parameters=[printer])
        paths[f"{root}/{{printer}}/{verb}"] = {"post": operation}
    return paths


def _others() -> dict[str, dict[str, Schema]]:
    sha256 = _path("sha256", {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "Hash of a file.")
    name = _path("name", {"type": "string", "minLength": 1}, "Name of a key.")
    upload = _operation("Upload a file.", _ref(FileFacts), 400, 413, 415, 507, status=201)
    form = {**_obj(file={"type": "string", "contentMediaType": "application/octet-stream"}), "required": ["file"]}
    upload["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    history = [
        _page()[0],
        _query("before", {"type": "number", "minimum": 0, "maximum": 4e9}, "Copies that ended before this time."),
        _query(
            "before_copy", TEXT, "With `before`: id of a copy that ended exactly then. The list continues after it."
        ),
        _query("printer", TEXT, "Copies of this printer."),
        _query("state", {"enum": [*FINAL_STATES]}, "Copies that ended in this state."),
        _query("q", TEXT, "Copies of jobs with this text in their names."),
    ]
    log = [
        _page()[0],
        _query(
            "since", {"type": "integer", "minimum": -1, "maximum": 10**15}, "Events after this number; -1: the newest."
        ),
        _query("job", TEXT, "Events of this job."),
    ]
    events = _bytes(
        "Send the state, then its changes, as server-sent events with a `FarmStateView`.", "text/event-stream"
    )
    key = _obj(key=TEXT, name=TEXT, scope=TEXT)
    paths = {
        "": {"get": _operation("Get the owner of the key, and the state of the farm.", ANY_OBJECT)},
        "/events": {"get": events},
        "/orphans": {
            "get": _operation(
                "List orphans: copies that have begun at printers that are away.", _obj(copies=_array(CopyView))
            )
        },
        "/history": {
            "get": _operation(
                "List copies that have ended, the newest first.", _obj(copies=_array(CopyView)), 400, parameters=history
            )
        },
        "/history.csv": {"get": _bytes("Get the history as a table.", "text/csv", 400, parameters=history[1:])},
        "/log": {
            "get": _operation("List the events: who did what.", _obj(events=_array(ListedEvent)), 400, parameters=log)
        },
        "/files": {"post": upload},
        "/files/{sha256}": {
            "get": _operation("Get the facts about a file.", _ref(FileFacts), 404, parameters=[sha256])
        },
        "/files/{sha256}/thumbnail": {
            "get": _bytes("Get the thumbnail of a file.", "image/png", 404, parameters=[sha256])
        },
        "/keys": {
            "get": _operation("List the keys.", _obj(keys=_array(FarmKey))),
            "post": _operation("Make a key; only this answer shows it.", key, 400, 409, body=NewKey, status=201),
        },
        "/keys/{name}": {"delete": _operation("Remove a key.", None, 404, 409, parameters=[name])},
        "/openapi.json": {"get": {**_operation("Describe the API.", ANY_OBJECT), "security": [{}]}},
    }
    metrics = _bytes("Get the farm's metrics, for Prometheus.", "text/plain")
    return {**{f"/api/farm{path}": item for path, item in paths.items()}, "/metrics": {"get": metrics}}


# -- parts -------------------------------------------------------------------------------------------------


def _operation(
    summary: str, done: Schema | None, *errors: int, body: type | None = None, status: int = 200, **more: Any
) -> Schema:
    """Describe an operation; `done` None means status 204."""
    good = {"204": {"description": "Done."}} if done is None else {str(status): {"description": "Done.", **_json(done)}}
    body_errors = () if body is None else (400, 413, 415)
    bad = {str(code): _error(code) for code in sorted({403, 429, 500, 503, *body_errors, *errors})}
    operation: Schema = {"summary": summary, "responses": {**good, **bad}, **more}
    if body is not None:
        operation["requestBody"] = {"required": True, **_json(_ref(body))}
    return operation


def _error(code: int) -> Schema:
    return {"description": ERRORS[code], **_json({"$ref": REF.format(name="Error")})}


def _bytes(summary: str, kind: str, *errors: int, **more: Any) -> Schema:
    """Describe an operation whose answer is not JSON."""
    operation = _operation(summary, {}, *errors, **more)
    operation["responses"]["200"] = {"description": "Done.", "content": {kind: {"schema": {}}}}
    return operation


def _json(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}


def _obj(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _array(kind: type) -> Schema:
    return {"type": "array", "items": _ref(kind)}


def _ref(kind: type) -> Schema:
    return {"$ref": REF.format(name=kind.__name__)}


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _path(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _page() -> list[Schema]:
    return [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_ROWS}, "How many to list."),
        _query("offset", {"type": "integer", "minimum": 0, "maximum": 10_000_000}, "How many to skip."),
    ]
