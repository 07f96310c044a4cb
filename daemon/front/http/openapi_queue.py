"""The part of the API's description about queue, history, and continuing a lost print."""

from daemon.front.http.openapi_parts import (
    BOOLEAN,
    JOB_KEY,
    NUMBER,
    PATH,
    TEXT,
    Operation,
    Schema,
    command,
    in_path,
    json_of,
    keyed,
    operation,
    query,
)
from daemon.front.http.openapi_schemas import array, nullable, obj, one_of, ref
from daemon.front.queue.document import MAX_COPIES, MAX_MATERIAL_LENGTH, MAX_NOTES_LENGTH

_ENTRY_FIELDS: dict[str, Schema] = {
    "copies_": {"type": "integer", "minimum": 1, "maximum": MAX_COPIES},
    "notes_": {"type": "string", "maxLength": MAX_NOTES_LENGTH},
    "material_": {"type": ["string", "null"], "maxLength": MAX_MATERIAL_LENGTH},
    "force_": BOOLEAN,
}


def paths() -> dict[str, dict[str, Operation]]:
    """Return the operations by path."""
    return {**_queue(), **_history(), **_resume_at()}


def _queue() -> dict[str, dict[str, Operation]]:
    number: Schema = {"type": "integer", "minimum": 1, "maximum": 2**53}
    body = one_of(
        command("add", path=PATH, front_=BOOLEAN, job_=JOB_KEY, **_ENTRY_FIELDS),
        command("move", id=number, to={"type": "integer", "minimum": 0, "maximum": 2**53}),
        command("change", id=number, **_ENTRY_FIELDS),
        command("remove", id=number),
        command("retry", id=number),
        command("clear"),
        command("bed", clear=BOOLEAN),
        command("pause"),
        command("resume"),
    )
    change = keyed(operation("Change the queue, or confirm that the bed is clear.", 404, done=ref("Queue"), body=body))
    change["responses"]["201"] = {"description": "The new entry.", **json_of(ref("QueueEntry"))}
    entry = in_path("id", "The entry's id.", {"type": "integer", "minimum": 0})
    return {
        "/api/queue": {
            "get": operation("List the entries, in the order of printing.", done=ref("Queue")),
            "post": change,
        },
        "/api/queue/{id}": {
            "get": operation("Get an entry.", 404, done=ref("QueueEntry"), parameters=[entry]),
            "delete": operation("Remove an entry.", 404, 409, 500, 507, parameters=[entry]),
        },
    }


def _history() -> dict[str, dict[str, Operation]]:
    short: Schema = {"type": "string", "maxLength": 300}
    filters = [
        query(
            "state",
            short,
            "States, separated by commas: completed, failed, cancelled, interrupted, or a state of a running job.",
        ),
        query("path", short, "The file's path."),
        query("q", short, "Text in the file's path."),
        query("material", short, "The material."),
        query("from", NUMBER, "Begun at this Unix time (s) or later."),
        query("to", NUMBER, "Begun before this Unix time (s)."),
        query("key", short, "The idempotency key of the request."),
    ]
    pages = [
        query("limit", {"type": "integer", "minimum": 1, "maximum": 100}, "The number of prints; by default 50."),
        query(
            "before",
            {"type": "integer", "minimum": -(10**15) + 1, "maximum": 10**15 - 1},
            "Only prints with a smaller id than this.",
        ),
    ]
    by = query("by", {"enum": ["month", "material", "state", "printer", "path"]}, "What the totals are grouped by.")
    number = in_path("id", "The print's id.", {"type": "integer"})
    notes: Schema = {"type": "string", "maxLength": MAX_NOTES_LENGTH}
    energy: Schema = {"type": "number", "minimum": 0, "maximum": 1_000_000}
    body = one_of(
        command("reprint", force_=BOOLEAN, job_=JOB_KEY),
        command("note", notes_=notes, energy_=energy),
        command("queue", front_=BOOLEAN, job_=JOB_KEY, **_ENTRY_FIELDS),
    )
    change = keyed(operation("Print the file again, or store notes.", 404, done=ref("Printed"), body=body))
    change["responses"]["204"] = {"description": "The file is printed again."}
    change["responses"]["201"] = {"description": "The new entry of the queue.", **json_of(ref("QueueEntry"))}
    listed = obj({"jobs": array(ref("Printed")), "next": nullable("integer"), "complete": BOOLEAN})
    sums = obj({"by": TEXT, "totals": array(ref("Total")), "all": ref("Total"), "complete": BOOLEAN})
    kind = in_path("kind", "The format: csv or json.", {"enum": ["csv", "json"]})
    table = operation("Export the history.", 400, 500, 503, done={}, parameters=[kind, *filters])
    kinds = {"text/csv": {"schema": TEXT}, "application/json": {"schema": array({"type": "object"})}}
    table["responses"]["200"] = {"description": "One entry for each print.", "content": kinds}
    picture = operation("Get the thumbnail of the print's file.", 404, 500, done={}, parameters=[number])
    picture["responses"]["200"] = {"description": "The bytes.", "content": {"image/png": {"schema": {}}}}
    some = [*filters, *pages]
    return {
        "/api/history": {"get": operation("List prints, newest first.", 400, 500, 503, done=listed, parameters=some)},
        "/api/history/totals": {"get": operation("Get totals.", 400, 500, 503, done=sums, parameters=[by, *filters])},
        "/api/history.{kind}": {"get": table},
        "/api/history/{id}": {
            "get": operation("Get a print.", 404, 500, 503, done=ref("Printed"), parameters=[number]),
            "post": {**change, "parameters": [number, *change["parameters"]]},
        },
        "/api/history/{id}/thumbnail": {"get": picture},
    }


def _resume_at() -> dict[str, dict[str, Operation]]:
    number: Schema = {"type": "integer", "minimum": 1, "maximum": 2**31}
    height: Schema = {"type": "number", "minimum": 0, "maximum": 100_000}
    of_print: Schema = {"type": "integer", "minimum": -(10**15), "maximum": 10**15}
    body = one_of(
        command("propose", print_=of_print, layer_=number, height_=height, line_=number),
        command("start", token=TEXT, force_=BOOLEAN, job_=JOB_KEY),
    )
    change = operation("Propose how to continue a print, or accept a proposal.", 404, done=ref("Resumption"), body=body)
    change["responses"]["201"] = {
        "description": "The file with the rest of the print, which is printed now.",
        **json_of(ref("FileReference")),
    }
    change["responses"]["204"] = {"description": "An earlier request with this key has begun the print."}
    return {"/api/resume-at": {"post": keyed(change)}}
