"""The API's description as one HTML page, without scripts or further files."""

import html
import json
from collections.abc import Iterator
from typing import Any

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h2{border-bottom:1px solid #ccc;margin-top:2em;font-size:1.1em;overflow-wrap:anywhere}
code,pre{font:14px/1.4 ui-monospace,monospace}
pre{background:#f4f4f4;padding:.7em;overflow:auto;max-height:30em}
b.m{display:inline-block;min-width:4.5em}
table{border-collapse:collapse;margin:.5em 0}
td{padding:.1em .8em .1em 0;vertical-align:top}
summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}pre{background:#2a2a2a}a{color:#8bf}}
"""


def page(description: dict[str, Any]) -> str:
    """Return the page for an OpenAPI description."""
    info = description["info"]
    body = "".join(_section(path, item, description) for path, item in description["paths"].items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_escaped(info['title'])}: the HTTP API</title><style>{STYLE}</style>"
        f"<h1>{_escaped(info['title'])} {_escaped(info['version'])}: the HTTP API</h1>"
        f"<p>{_escaped(info['description'])}<p>The key goes into the header <code>X-Api-Key</code>, into "
        "<code>Authorization: Bearer</code> or into the query as <code>apikey</code>. "
        'For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).'
        f"{body}</html>"
    )


def _section(path: str, item: dict[str, Any], description: dict[str, Any]) -> str:
    operations = "".join(_operation(name, each, description) for name, each in item.items() if name != "head")
    return f'<h2 id="{_escaped(path)}">{_escaped(path)}</h2>{operations}'


def _operation(method: str, operation: dict[str, Any], description: dict[str, Any]) -> str:
    key = "" if {} not in operation.get("security", []) else " <i>No key is needed.</i>"
    return (
        f'<p><b class="m">{method.upper()}</b>{_escaped(operation["summary"])}{key}</p>'
        f"{_parameters(operation)}{_body(operation, description)}{_responses(operation, description)}"
    )


def _parameters(operation: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{_escaped(each['name'])}</code><td>{each['in']}<td>{_escaped(each.get('description', ''))}"
        for each in operation.get("parameters", [])
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _body(operation: dict[str, Any], description: dict[str, Any]) -> str:
    shown = [
        f"<details><summary>takes <code>{_escaped(kind)}</code></summary><pre>{alternative}</pre></details>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
        for alternative in ["\n".join(_examples(content["schema"], description))]
    ]
    return "".join(shown)


def _responses(operation: dict[str, Any], description: dict[str, Any]) -> str:
    rows = []
    for status, response in sorted(operation["responses"].items()):
        schema = response.get("content", {}).get("application/json", {}).get("schema")
        shown = status.startswith("2") and schema
        example = f"<pre>{chr(10).join(_examples(schema, description))}</pre>" if shown else ""
        rows.append(f"<tr><td><code>{status}</code><td>{_escaped(response['description'])}{example}")
    return f"<details><summary>answers</summary><table>{''.join(rows)}</table></details>"


def _examples(schema: dict[str, Any], description: dict[str, Any]) -> Iterator[str]:
    """Yield the shape of each alternative, as JSON with types instead of values."""
    for each in schema.get("anyOf", [schema]):
        yield _escaped(json.dumps(_shape(each, description, 6), indent=2))


def _shape(schema: dict[str, Any], description: dict[str, Any], depth: int) -> Any:
    if "$ref" in schema:
        return _shape(description["components"]["schemas"][schema["$ref"].rpartition("/")[2]], description, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return " | ".join(schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "object" and depth:
        shape = {name: _shape(each, description, depth - 1) for name, each in schema.get("properties", {}).items()}
        if isinstance(more := schema.get("additionalProperties"), dict):
            shape["…"] = _shape(more, description, depth - 1)
        return shape
    if kind == "array" and depth:
        return [_shape(schema["items"], description, depth - 1)]
    return " | ".join(kind) if isinstance(kind, list) else kind


def _escaped(text: str) -> str:
    return html.escape(text)
