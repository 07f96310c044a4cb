"""The parts of which the description of the API is made."""

from typing import Any

from daemon.front.http.openapi_schemas import obj, ref

Schema = dict[str, Any]
Operation = dict[str, Any]

ERRORS = {
    400: "The body, a command or a value in it means nothing.",
    403: "No valid key, or one that does not allow this.",
    404: "There is no such thing.",
    409: "It does not fit the state: no printer, a print going on, the name taken.",
    413: "The body is too large.",
    415: "The body is not JSON, or the file no G-code.",
    422: "The idempotency key was used for another request before.",
    429: "Too many wrong keys, or too many requests of apps; Retry-After may say when to come again.",
    500: "A fault in the daemon, its disk, or a program that it runs.",
    502: "The camera gives no picture.",
    503: "Too much waits for the printer already.",
    507: "There is no room for the file.",
}

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
JOB_KEY: Schema = {"type": "string", "pattern": "^[!-~]{1,200}$"}
PATH: Schema = {"type": "string", "minLength": 1}
FORM_BOOLEAN: Schema = {"type": "string", "enum": ["true", "false"]}


def operation(
    summary: str, *errors: int, done: Schema | int = 204, status: int = 200, body: Schema | None = None, **more: Any
) -> Operation:
    """Describe an operation.

    Args:
        summary: what it does.
        errors: statuses besides those that every operation may have.
        done: schema of a good answer, or 204.
        status: of a good answer that has a body.
        body: schema of the JSON that it takes.
        more: whatever else OpenAPI has for an operation.
    """
    good = (
        {"204": {"description": "Taken."}}
        if isinstance(done, int)
        else {str(status): {"description": "Done.", **json_of(done)}}
    )
    asked = () if body is None else (400, 413, 415)
    bad = {
        str(code): {"description": ERRORS[code], **json_of(ref("Error"))}
        for code in sorted({403, 429, *asked, *errors})
    }
    operation: Operation = {"summary": summary, "responses": {**good, **bad}, **more}
    if body is not None:
        operation["requestBody"] = {"required": True, **json_of(body)}
    return operation


def keyless(operation: Operation) -> Operation:
    """Say that an operation needs no key."""
    return {**operation, "security": [{}, {"key": []}, {"bearer": []}]}


def cached(operation: Operation) -> Operation:
    """Say that a client may ask whether its copy is still good."""
    tag = {"name": "If-None-Match", "in": "header", "schema": TEXT, "description": "The ETag of an earlier answer."}
    responses = {**operation["responses"], "304": {"description": "Nothing has changed."}}
    return {**operation, "parameters": [*operation.get("parameters", []), tag], "responses": responses}


def keyed(operation: Operation) -> Operation:
    """Say that it begins a print at most once for each key, however often it is asked."""
    key: dict[str, Any] = {"name": "Idempotency-Key", "in": "header", "schema": JOB_KEY}
    key["description"] = "Whoever asks again with it begins no second print; also as `job` in the body."
    bad = {str(code): {"description": ERRORS[code], **json_of(ref("Error"))} for code in (409, 422, 500, 503, 507)}
    responses = {**operation["responses"], **bad}
    return {**operation, "parameters": [*operation.get("parameters", []), key], "responses": responses}


def json_of(schema: Schema) -> dict[str, Any]:
    """Describe a body of JSON."""
    return {"content": {"application/json": {"schema": schema}}}


def query(name: str, schema: Schema, description: str) -> dict[str, Any]:
    """Describe a parameter of the query."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def in_path(name: str, description: str, schema: Schema = PATH) -> dict[str, Any]:
    """Describe a part of the address."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def command(name: str, **parameters: Schema) -> Schema:
    """Describe a body with a command; parameters whose name ends in `_` may be left out."""
    required = [each for each in parameters if not each.endswith("_")]
    named = {each.rstrip("_"): schema for each, schema in parameters.items()}
    return obj({"command": {"const": name}, **named}, required=["command", *required])
