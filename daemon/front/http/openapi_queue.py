"""What the description of the API has of queue, history, and going on with the last print."""

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
from daemon.front.queue.document import LONGEST_MATERIAL, LONGEST_NOTES, MOST_COPIES

_WISHES: dict[str, Schema] = {
    "copies_": {"type": "integer", "minimum": 1, "maximum": MOST_COPIES},
    "notes_": {"type": "string", "maxLength": LONGEST_NOTES},
    "material_": {"type": ["string", "null"], "maxLength": LONGEST_MATERIAL},
    "force_": BOOLEAN,
}


def paths() -> dict[str, dict[str, Operation]]:
    """Return the addresses, with their methods."""
    return {**_queue(), **_history(), **_resume_at()}


def _queue() -> dict[str, dict[str, Operation]]:
    number: Schema = {"type": "integer", "minimum": 1, "maximum": 2**53}
    body = one_of(
        command("add", path=PATH, front_=BOOLEAN, job_=JOB_KEY, **_WISHES),
        command("move", id=number, to={"type": "integer", "minimum": 0, "maximum": 2**53}),
        command("change", id=number, **_WISHES),
        command("remove", id=number),
        command("retry", id=number),
        command("clear"),
        command("bed", clear=BOOLEAN),
        command("pause"),
        command("resume"),
    )
    change = keyed(operation("Change the queue, or say that the bed is clear.", 404, done=ref("Queue"), body=body))
    change["responses"]["201"] = {"description": "The entry that was put in.", **json_of(ref("QueueEntry"))}
    entry = in_path("id", "Of the entry.", {"type": "integer", "minimum": 0})
    return {
        "/api/queue": {
            "get": operation("List what waits to be printed, in its order.", done=ref("Queue")),
            "post": change,
        },
        "/api/queue/{id}": {
            "get": operation("Tell about an entry.", 404, done=ref("QueueEntry"), parameters=[entry]),
            "delete": operation("Remove an entry.", 404, 409, 500, 507, parameters=[entry]),
        },
    }


def _history() -> dict[str, dict[str, Operation]]:
    short: Schema = {"type": "string", "maxLength": 300}
    filters = [
        query(
            "state",
            short,
            "Of these, with commas: completed, failed, cancelled, interrupted; or as the job is.",
        ),
        query("path", short, "Of this file."),
        query("q", short, "With this in the path."),
        query("material", short, "Of this material."),
        query("from", NUMBER, "Begun then, or later: a date in s."),
        query("to", NUMBER, "Begun before."),
        query("key", short, "Asked for with this idempotency key."),
    ]
    pages = [
        query("limit", {"type": "integer", "minimum": 1, "maximum": 100}, "How many; 50."),
        query("before", {"type": "integer", "minimum": -(10**15) + 1, "maximum": 10**15 - 1}, "Older than this one."),
    ]
    by = query("by", {"enum": ["month", "material", "state", "printer", "path"]}, "What the sums are made by.")
    number = in_path("id", "Of the print.", {"type": "integer"})
    notes: Schema = {"type": "string", "maxLength": LONGEST_NOTES}
    energy: Schema = {"type": "number", "minimum": 0, "maximum": 1_000_000}
    body = one_of(
        command("reprint", force_=BOOLEAN, job_=JOB_KEY),
        command("note", notes_=notes, energy_=energy),
        command("queue", front_=BOOLEAN, job_=JOB_KEY, **_WISHES),
    )
    change = keyed(operation("Print it again, or note what is known of it.", 404, done=ref("Printed"), body=body))
    change["responses"]["204"] = {"description": "It is printed again."}
    change["responses"]["201"] = {"description": "The entry that was put in.", **json_of(ref("QueueEntry"))}
    listed = obj({"jobs": array(ref("Printed")), "next": nullable("integer"), "complete": BOOLEAN})
    sums = obj({"by": TEXT, "totals": array(ref("Total")), "all": ref("Total"), "complete": BOOLEAN})
    kind = in_path("kind", "csv or json", {"enum": ["csv", "json"]})
    table = operation("Fetch all of it.", 400, 500, 503, done={}, parameters=[kind, *filters])
    kinds = {"text/csv": {"schema": TEXT}, "application/json": {"schema": array({"type": "object"})}}
    table["responses"]["200"] = {"description": "A line for each print.", "content": kinds}
    picture = operation("Fetch the picture that its file had.", 404, 500, done={}, parameters=[number])
    picture["responses"]["200"] = {"description": "The bytes.", "content": {"image/png": {"schema": {}}}}
    some = [*filters, *pages]
    return {
        "/api/history": {"get": operation("List prints, newest first.", 400, 500, 503, done=listed, parameters=some)},
        "/api/history/totals": {"get": operation("Tell sums.", 400, 500, 503, done=sums, parameters=[by, *filters])},
        "/api/history.{kind}": {"get": table},
        "/api/history/{id}": {
            "get": operation("Tell about a print.", 404, 500, 503, done=ref("Printed"), parameters=[number]),
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
    change = operation("Propose how the last print goes on, or print that.", 404, done=ref("Resumption"), body=body)
    change["responses"]["201"] = {
        "description": "It is printed: the rest of the file.",
        **json_of(ref("FileReference")),
    }
    change["responses"]["204"] = {"description": "It was begun before, by this key."}
    return {"/api/resume-at": {"post": keyed(change)}}
