"""The building blocks of the API's description."""

from typing import Any

from daemon.front.http.openapi_schemas import obj, ref

Schema = dict[str, Any]
Operation = dict[str, Any]

ERRORS = {
    400: "The body is malformed, or a command or value in it is invalid.",
    403: "The key is missing or wrong, or does not allow this.",
    404: "Not found.",
    408: "The request waited so long that its client has given up, so nothing was done.",
    409: "The state does not allow this: no printer, a print in progress, a name that is taken.",
    411: "A request without a key must give the length of its body.",
    413: "The body is too large.",
    415: "The body is not JSON, or the file is not G-code.",
    422: "The idempotency key was already used for another request.",
    429: "Too many wrong keys, or too many requests for keys; Retry-After may say when to try again.",
    500: "A fault in the daemon, its disk, or a program that it runs.",
    501: "The core is of another version, which does not know this request: restart it.",
    502: "The camera delivers no picture.",
    503: "Too many commands wait for the printer, or the core or the companion is not running.",
    507: "The disk or the quota is full.",
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
        errors: error statuses, in addition to those that every operation may have.
        done: schema of the successful answer, or 204.
        status: status of a successful answer with a body.
        body: schema of the request's JSON body.
        more: further fields of an OpenAPI operation.
    """
    good = (
        {"204": {"description": "Accepted."}}
        if isinstance(done, int)
        else {str(status): {"description": "Done.", **json_of(done)}}
    )
    body_errors = () if body is None else (400, 413, 415)
    bad = refusals(*sorted({403, 429, *body_errors, *errors}))
    operation: Operation = {"summary": summary, "responses": {**good, **bad}, **more}
    if body is not None:
        operation["requestBody"] = {"required": True, **json_of(body)}
    return operation


def keyless(operation: Operation) -> Operation:
    """Mark an operation as needing no key."""
    bad = refusals(411) if "requestBody" in operation else {}
    responses = {**operation["responses"], **bad}
    return {**operation, "security": [{}, {"key": []}, {"bearer": []}], "responses": responses}


def refusals(*statuses: int) -> dict[str, Any]:
    """Describe answers with an error."""
    return {str(status): {"description": ERRORS[status], **json_of(ref("Error"))} for status in statuses}


def cached(operation: Operation) -> Operation:
    """Mark an operation as having an ETag."""
    tag = {"name": "If-None-Match", "in": "header", "schema": TEXT, "description": "The ETag of an earlier answer."}
    responses = {**operation["responses"], "304": {"description": "Not modified."}}
    return {**operation, "parameters": [*operation.get("parameters", []), tag], "responses": responses}


def keyed(operation: Operation) -> Operation:
    """Mark an operation as accepting an idempotency key."""
    key: dict[str, Any] = {"name": "Idempotency-Key", "in": "header", "schema": JOB_KEY}
    key["description"] = (
        "A repeated request with the same key does not begin a second print. May be sent as `job` in the body instead."
    )
    responses = {**operation["responses"], **refusals(409, 422, 500, 503, 507)}
    return {**operation, "parameters": [*operation.get("parameters", []), key], "responses": responses}


def json_of(schema: Schema) -> dict[str, Any]:
    """Describe a JSON body."""
    return {"content": {"application/json": {"schema": schema}}}


def query(name: str, schema: Schema, description: str) -> dict[str, Any]:
    """Describe a query parameter."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def in_path(name: str, description: str, schema: Schema = PATH) -> dict[str, Any]:
    """Describe a path parameter."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def command(name: str, **parameters: Schema) -> Schema:
    """Describe a body with a command; parameters whose name ends in `_` are optional."""
    required = [each for each in parameters if not each.endswith("_")]
    named = {each.rstrip("_"): schema for each, schema in parameters.items()}
    return obj({"command": {"const": name}, **named}, required=["command", *required])
