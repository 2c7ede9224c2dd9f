"""The OpenAPI document's parts that FastAPI cannot know: bodies that routes read themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from deployments.problems import OPENAI_PREFIXES
from deployments.schemas import OpenAIError, Problem

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the issuer."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_REF = "#/components/schemas/{model}"


def body_of(model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    """`openapi_extra` of a route whose body is one such object."""
    return _body({media_type: {"schema": _ref(model)}})


def import_of(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of an import: an array, or an object on each line."""
    array = {"type": "array", "items": _ref(model), "minItems": 1}
    return _body({"application/json": {"schema": array}, "application/x-ndjson": {"schema": _ref(model)}})


def describe(app: FastAPI, models: tuple[type[BaseModel], ...]) -> None:
    """Give the application a document that also holds these models, which no route takes as a parameter."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            known = [(model, "validation") for model in (*models, Problem, OpenAIError)]
            _, extra = models_json_schema(known, ref_template=_REF)  # type: ignore[arg-type]
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in extra.get("$defs", {}).items():
                schemas.setdefault(name, schema)
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            for path, item in made["paths"].items():
                for operation in item.values():
                    _tell_errors(path, operation)
            made["components"]["securitySchemes"] = SECURITY_SCHEMES
            made["security"] = [{name: []} for name in SECURITY_SCHEMES]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _tell_errors(path: str, operation: dict[str, Any]) -> None:
    """Say what errors look like: problem documents, or OpenAI's envelope on OpenAI's routes."""
    operation["responses"].pop("422", None)
    if path.startswith(OPENAI_PREFIXES):
        content = {"application/json": {"schema": _ref(OpenAIError)}}
    else:
        content = {"application/problem+json": {"schema": _ref(Problem)}}
    operation["responses"]["4XX"] = {"description": "The request is at fault; `detail` says how.", "content": content}
    operation["responses"]["5XX"] = {"description": "It cannot be answered now.", "content": content}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
