"""docs/api.md: every route with its scope, fields, errors and examples, made from the OpenAPI document.

`python -m tests.docs.api` writes the page (`make docs`); a test fails while it is not what the document says, and
another runs every example against a running copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployments.example import Example
from deployments.examples import EXAMPLES
from deployments.http_app import routed_app
from deployments.openapi import ERRORS, TAGS
from tests.docs.configuration import type_of
from tests.docs.curl import command, written

PAGE = Path(__file__).parents[2] / "docs" / "api.md"

HEAD = """# API

Made from the OpenAPI document (`make docs`): do not edit this page. A running copy serves the document at
`/openapi.json` and a page to try it out at `/docs`. What the document cannot say (how fast a change shows, what an
erasure covers, how pages work) is in [catalogue-and-users.md](catalogue-and-users.md) and [writing.md](writing.md).

Every request carries a key, `Authorization: Bearer KEY` or `X-API-Key: KEY`; [security.md](security.md) says how keys
are made. Bodies are JSON, in UTF-8, whatever `Content-Type` says. Ids are opaque strings of 1 to 256 characters and may
hold slashes and line breaks, percent-encoded in an address. `X-Request-Id` is taken from the request or made, and comes
back. Unknown fields are refused; parameters of an address that a route does not have are ignored.

The examples run against the demo, in this order, in a shell that knows:

```
URL=http://127.0.0.1:8000
KEY=...   # `make serve` prints it; it is in .tailorbird/api_key
```

## Errors

Errors are problem documents (RFC 9457, `application/problem+json`), on OpenAI's routes OpenAI's envelope. A stream that
fails after its first frame ends with one `event: error`, whose data is a problem document; a chat's ends with OpenAI's
error object.

```json
{"type": "about:blank", "title": "Invalid request", "status": 422, "instance": "REQUEST_ID",
 "detail": "n: Input should be less than or equal to 500",
 "errors": [{"loc": ["n"], "msg": "Input should be less than or equal to 500"}]}
```
"""

Document = dict[str, Any]


def page() -> str:
    """The whole page."""
    document = routed_app().openapi()
    statuses = "\n".join(f"| {status} | {said} |" for status, said in ERRORS.items())
    parts = [HEAD, f"| status | when |\n|---|---|\n{statuses}\n", _index(document)]
    for tag, about in TAGS.items():
        parts.append(f"## {tag.capitalize()}\n\n{about}\n")
        for method, path, operation in operations(document, tag):
            parts.append("\n\n".join(_route(document, method, path, operation)) + "\n")
    named = sorted(_schemas_in(document))
    parts.append("## Objects\n\nWhat the fields above hold.\n")
    parts += [f"### {name}\n\n" + "\n\n".join(_object(document, name)) + "\n" for name in named]
    return "\n".join(parts)


def operations(document: Document, tag: str | None = None) -> Iterator[tuple[str, str, Document]]:
    """The document's operations with method and path, those of one tag in the order of its examples."""
    order: dict[tuple[str, str], int] = {}
    for place, example in enumerate(example for group in EXAMPLES.values() for example in group):
        order.setdefault((example.method, example.path), place)
    found = [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if tag is None or tag in operation.get("tags", [])
    ]
    return iter(sorted(found, key=lambda one: order.get((one[0], one[1]), len(order))))


def examples_of(method: str, path: str) -> list[Example]:
    """The examples of one operation."""
    return [e for group in EXAMPLES.values() for e in group if (e.method, e.path) == (method, path)]


def _index(document: Document) -> str:
    lines = ["## Routes\n", "| route | what | scope |", "|---|---|---|"]
    for tag in TAGS:
        for method, path, operation in operations(document, tag):
            link = f"[`{method} {path}`](#{_anchor(f'{method} {path}')})"
            lines.append(f"| {link} | {operation['summary']} | {_scope(operation)} |")
    return "\n".join(lines) + "\n"


def _route(document: Document, method: str, path: str, operation: Document) -> Iterator[str]:
    yield f"### {method} {path}"
    yield "\n".join(line.strip() for line in operation["description"].splitlines())
    parameters = [_parameter(parameter) for parameter in operation.get("parameters", [])]
    if parameters:
        yield "| parameter | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(parameters)
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        yield f"Body: {_kinds(document, body)}"
    good = {status: said for status, said in operation["responses"].items() if status.startswith("2")}
    for status, said in good.items():
        yield f"Answer: `{status}`, {_kinds(document, said.get('content', {})) or 'no body.'}"
    bad = [f"`{status}`" for status in operation["responses"] if status.isdigit() and status not in good]
    if bad:
        yield f"Errors: {', '.join(bad)}."
    for example in examples_of(method, path):
        yield from _example(example)


def _example(example: Example) -> Iterator[str]:
    yield f"*{example.title}.*"
    yield f"```sh\n{command(example)}\n```"
    if example.is_stream and isinstance(example.answer, list):
        yield "In the answer: " + ", ".join(f"`{line}`" for line in example.answer) + "."
    elif example.answer is not None:
        yield f"```json\n{written(example.answer)}\n```"
    for variable, field in example.keeps.items():
        yield f"Below, `${variable}` is the `{field}` of this answer."


def _parameter(parameter: Document) -> str:
    schema = parameter["schema"]
    needed = "required" if parameter.get("required") else _default(schema)
    where = " (path)" if parameter["in"] == "path" else ""
    cells = (f"`{parameter['name']}`{where}", type_of(schema), needed, parameter.get("description", ""))
    return _row(cells)


def _object(document: Document, name: str) -> Iterator[str]:
    schema = document["components"]["schemas"][name]
    if schema.get("description"):
        yield _line(schema["description"])
    rows = []
    required = set(schema.get("required", []))
    for field, said in schema.get("properties", {}).items():
        needed = "required" if field in required else _default(said)
        rows.append(_row((f"`{field}`", _linked(type_of(said)), needed, _line(said.get("description", "")))))
    if rows:
        yield "| field | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows)


def _kinds(document: Document, content: Document) -> str:
    found = []
    for media_type, said in content.items():
        kind = _linked(type_of(said.get("schema", {})))
        plain = kind in {"any", "string"}
        found.append(
            f"`{media_type}`" if plain else kind if media_type == "application/json" else f"{kind} as `{media_type}`"
        )
    return "; or ".join(found) + "." if found else ""


def _schemas_in(document: Document) -> set[str]:
    return {name for name, schema in document["components"]["schemas"].items() if "properties" in schema}


def _default(schema: Document) -> str:
    return f"`{json.dumps(schema['default'])}`" if schema.get("default") is not None else ""


def _linked(kind: str) -> str:
    return re.sub(r"#(\w+)", lambda found: f"[{found.group(1)}](#{found.group(1).lower()})", kind)


def _scope(operation: Document) -> str:
    if operation.get("security") == []:
        return "no key"
    return f"`{operation['x-scope']}`" if operation["x-scope"] else "any"


def _anchor(heading: str) -> str:
    """GitHub's name for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
