"""The OpenAPI document's parts that FastAPI cannot know: bodies read by routes themselves, scopes, errors, examples."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from deployments.access import is_open, scope_of
from deployments.example import Example
from deployments.examples import EXAMPLES
from deployments.problems import OPENAI_PREFIXES
from deployments.schemas import OpenAIError, Problem

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the issuer."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
DESCRIPTION = """Lists for people, and texts about what is in them.

Every request carries a key: `Authorization: Bearer KEY` or `X-API-Key: KEY`. What a key may do are its scopes, and
whose data it opens is its tenant. Bodies are JSON, unknown fields are refused, ids are opaque strings of 1 to 256
characters. Errors are problem documents (RFC 9457), on OpenAI's routes OpenAI's envelope; `429` and `503` say when to
ask again."""
TAGS = {
    "events": "What people do. What is acknowledged is on disk, and the next list knows it.",
    "recommendations": "Lists for a person, for an anonymous session, for everybody.",
    "content": "Texts about items, checked against their facts before they are sent.",
    "chat": "OpenAI's routes: a conversation that recommends. Their clients work unchanged.",
    "feedback": "What people say of a list or a text.",
    "catalogue": "Items. A change is on disk when it is answered, and in every list within a second.",
    "users": "What you know of people beside what they do. Nobody needs a record to be recommended to.",
    "administration": "API keys and the audit log.",
    "rules": "Merchandising: items that stand at a place, are boosted, buried or capped in all lists.",
    "session": "How the page signs in.",
    "operations": "Health, metrics, figures for operators, and work that goes on after its request.",
}
ERRORS = {
    400: "The body is not JSON.",
    401: "No key, or one that opens nothing.",
    403: "The key lacks the scope, or what is asked for is another tenant's.",
    404: "What is named does not exist.",
    405: "The route does not take this method; `Allow` names those that it takes.",
    408: "The body did not come within `ingress.body_timeout_s`.",
    409: "It was changed by somebody else at the same time too often.",
    413: "The body is longer than `ingress.max_body_bytes`.",
    422: "A parameter or a field does not hold; `errors` says which and why.",
    429: "A queue is full, or the key's rate is used up. `Retry-After` says when to ask again.",
    500: "Something went wrong on our side; the request id finds it in the log.",
    503: "It cannot be answered in time, or not yet. `Retry-After` says when to ask again.",
}
"""Statuses of errors, and when they come."""

PARAMETERS = {
    "user_id": "The person.",
    "item_id": "The item.",
    "key_id": "The key's id, not the key.",
    "rule_id": "The rule.",
    "operation_id": "The operation.",
    "model": "`tailorbird`.",
    "limit": "Length of the page.",
}
"""What parameters mean where their route does not say it."""

MAY_MISS = frozenset(
    {
        ("POST", "/v1/recommendations"),
        ("GET", "/v1/similar"),
        ("POST", "/v1/content"),
        ("GET", "/v1/ops/map"),
    }
)
"""Routes that answer 404 though their path names nothing."""
_REF = "#/components/schemas/{model}"
_VARIABLE = re.compile(r"\$([A-Z_]+)")


def body_of(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    """`openapi_extra` of a route whose body is one such object."""
    return _body({media_type: {"schema": _ref(model)}})


def import_of(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of an import: an array, or an object on each line."""
    array = {"type": "array", "items": _ref(model), "minItems": 1}
    return _body({"application/json": {"schema": array}, "application/x-ndjson": {"schema": _ref(model)}})


def operation_id(route: APIRoute) -> str:
    """The name of an operation in clients that are made from the document: the function's."""
    return route.name


def describe(app: FastAPI, models: tuple[type[BaseModel], ...]) -> None:
    """Give the application a document that also holds these models, which no route takes as a parameter."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=DESCRIPTION,
                routes=app.routes,
            )
            known = [(model, "validation") for model in (*models, Problem, OpenAIError)]
            _, extra = models_json_schema(known, ref_template=_REF)  # type: ignore[arg-type]
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in extra.get("$defs", {}).items():
                schemas.setdefault(name, schema)
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            for path, item in made["paths"].items():
                for method, operation in item.items():
                    _tell(method.upper(), path, operation)
                    _tell_errors(method.upper(), path, operation)
            for example in (example for group in EXAMPLES.values() for example in group):
                _show(example, made["paths"][example.path][example.method.lower()])
            made["tags"] = [{"name": name, "description": description} for name, description in TAGS.items()]
            made["components"]["securitySchemes"] = SECURITY_SCHEMES
            made["security"] = [{name: []} for name in SECURITY_SCHEMES]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _tell(method: str, path: str, operation: dict[str, Any]) -> None:
    """The first sentence of the description is the summary; the scope is said at its end."""
    said = " ".join(operation.get("description", "").split("\n\n")[0].split())
    first = re.match(r"(?:`[^`]*`|[^`])*?[.:](?=\s|$)", said)
    if first is not None:
        operation["summary"] = first.group().rstrip(".:")
    needed = None if is_open(path) else scope_of(method, path)
    takes = "Needs no key." if is_open(path) else f"Takes the scope `{needed}`." if needed else "Takes any key."
    operation["description"] = f"{operation.get('description', '')}\n\n{takes}".strip()
    operation["x-scope"] = needed
    for parameter in operation.get("parameters", []):
        if parameter["name"] in PARAMETERS:
            parameter.setdefault("description", PARAMETERS[parameter["name"]])
    if is_open(path):
        operation["security"] = []


def _tell_errors(method: str, path: str, operation: dict[str, Any]) -> None:
    """Say what errors look like: problem documents, or OpenAI's envelope on OpenAI's routes."""
    if path.startswith(OPENAI_PREFIXES):
        content = {"application/json": {"schema": _ref(OpenAIError)}}
    else:
        content = {"application/problem+json": {"schema": _ref(Problem)}}
    operation["responses"].pop("422", None)
    statuses = set() if is_open(path) else {401, 403, 429, 503}
    if operation.get("parameters") or "requestBody" in operation:
        statuses.add(422)
    if "requestBody" in operation:
        statuses |= {400, 408, 413}
    if ("{" in path and method != "PUT") or (method, path) in MAY_MISS:
        statuses.add(404)
    if method == "PATCH":
        statuses.add(409)
    for status in sorted(statuses):
        operation["responses"][str(status)] = {"description": ERRORS[status], "content": content}
    operation["responses"]["4XX"] = {"description": "The request is at fault; `detail` says how.", "content": content}
    operation["responses"]["5XX"] = {"description": "It cannot be answered now.", "content": content}


def _show(example: Example, operation: dict[str, Any]) -> None:
    """Add the example to the operation's body and parameters."""
    if example.body is not None:
        for content in operation["requestBody"]["content"].values():
            if content["schema"].get("type") == "array" or not isinstance(example.body, list):
                shown = content.setdefault("examples", {})
                shown[example.title] = {"summary": example.title, "value": _plain(example.body)}
    given = {**example.ids, **example.query}
    for parameter in operation.get("parameters", []):
        if parameter["name"] in given:
            parameter.setdefault("example", _plain(given[parameter["name"]]))


def _plain(value: Any) -> Any:
    """The value with the variables' names for what only an answer can tell."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return _VARIABLE.sub(lambda found: found.group(1).lower(), value) if isinstance(value, str) else value


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
