"""Errors as HTTP: problem+json (RFC 9457) on our own routes, OpenAI's envelope on OpenAI's.

One table maps our errors to a status; whatever is not in it is a 500 whose cause goes to the log and never to the
client.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from cluster.errors import (
    AuthenticationError,
    ConflictError,
    DeadlineError,
    ForbiddenError,
    InputError,
    NotFoundError,
    OverloadError,
    TailorbirdError,
    UnavailableError,
)

log = logging.getLogger("tailorbird.http")

OPENAI_PREFIXES = ("/v1/chat", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/responses")
"""Where OpenAI's clients ask, also for what is not here."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Methods that are told apart; a client can make up others."""


class MalformedError(TailorbirdError):
    """A body is not JSON at all, as opposed to JSON that says the wrong thing."""


_TITLES = {
    400: "Malformed request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Request body too large",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_STATUS: Sequence[tuple[type[TailorbirdError], int]] = (
    (MalformedError, 400),
    (AuthenticationError, 401),
    (ForbiddenError, 403),
    (InputError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (OverloadError, 429),
    (DeadlineError, 503),
    (UnavailableError, 503),
)
_RETRY_AFTER_S = 1


def problem(
    status: int, detail: str, request_id: str, errors: Sequence[dict[str, Any]] = (), title: str | None = None
) -> dict[str, Any]:
    """A problem document. `errors` are faults with their place: `{"loc": [...], "msg": "..."}`."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": title or _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "instance": request_id,
    }
    if errors:
        document["errors"] = list(errors)
    return document


def problem_response(
    path: str,
    status: int,
    detail: str,
    request_id: str,
    errors: Sequence[dict[str, Any]] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """The response for an error, in the form that the route's clients expect."""
    headers = dict(headers or {})
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in {429, 503}:
        headers.setdefault("Retry-After", str(_RETRY_AFTER_S))
    if path.startswith(OPENAI_PREFIXES):
        param = ".".join(str(part) for part in errors[0]["loc"]) or None if errors else None
        kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        body: dict[str, Any] = {"error": {"message": detail, "type": kind, "param": param, "code": None}}
        if status == 401:
            body["error"]["code"] = "invalid_api_key"
        elif status == 404 and path.startswith("/v1/models/"):
            body["error"] |= {"code": "model_not_found", "param": "model"}
        return Response(orjson.dumps(body), status, headers, media_type="application/json")
    body = problem(status, detail, request_id, errors)
    return Response(orjson.dumps(body), status, headers, media_type="application/problem+json")


def describe_error(error: Exception) -> tuple[int, str, list[dict[str, Any]], dict[str, str]]:
    """Status, detail, places and headers for any error. Failures are logged here, unforeseen ones are hidden."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            headers = {}
            errors: list[dict[str, Any]] = []
            if isinstance(error, OverloadError):
                headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
            if isinstance(error, InputError) and error.place:
                errors = [{"loc": error.place.split("."), "msg": error.message}]
            if status >= 500:
                log.warning("answered %d: %s", status, error, extra={"error": type(error).__name__})
            return status, str(error), errors, headers
    log.error("unforeseen error", exc_info=error)
    return 500, "Something went wrong on our side. The request id finds it in the log.", [], {}


def request_id_of(request: Request) -> str:
    """The request's id, which the outermost middleware has set."""
    return str(request.scope.get("request_id", ""))


def error_response(path: str, error: Exception, request_id: str) -> Response:
    """The response for any error, wherever it was raised."""
    if isinstance(error, HTTPException):
        return problem_response(path, error.status_code, str(error.detail), request_id, (), dict(error.headers or {}))
    if isinstance(error, (RequestValidationError, ValidationError)):
        return _invalid(path, error.errors(), request_id)
    status, detail, errors, headers = describe_error(error)
    return problem_response(path, status, detail, request_id, errors, headers)


def install(app: FastAPI) -> None:
    """Register the handlers on the application."""

    async def on_error(request: Request, error: Exception) -> Response:
        return error_response(request.url.path, error, request_id_of(request))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            taken = _methods_of(app, request.scope)
            error.detail = f"the method is not allowed: {request.url.path[:200]} takes {', '.join(taken)}"
            error.headers = {**(error.headers or {}), "Allow": ", ".join(taken)}
        elif error.detail == "Not Found":
            error.detail = f"{request.method} {request.url.path[:200]} is not a route of this API"
        elif error.detail == "There was an error parsing the body":  # FastAPI's: no UTF-8, too deep, too long a number
            error.detail = "the body is not JSON, or holds what cannot be read"
        return error_response(request.url.path, error, request_id_of(request))

    app.add_exception_handler(TailorbirdError, on_error)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_error)


def _methods_of(app: FastAPI, scope: Scope) -> list[str]:
    """The methods that a path takes, of all routes that share it; the framework knows those of one route."""
    here = {"type": "http", "path": scope["path"], "root_path": scope.get("app_root_path", "")}
    taken = {
        method
        for method in METHODS
        if any(route.matches({**here, "method": method})[0] is Match.FULL for route in app.routes)
    }
    if scope["method"] in taken:  # refused behind the route: files
        taken = {"GET"}
    return [method for method in METHODS if method in taken or (method == "HEAD" and "GET" in taken)]


def _invalid(path: str, faults: Sequence[Any], request_id: str) -> Response:
    """400 for what is not JSON, 422 for what is not what the route takes, each fault with its place."""
    malformed = any(fault["type"] == "json_invalid" for fault in faults)
    errors = [{"loc": _place(fault["loc"]), "msg": _message(fault["msg"])} for fault in faults[:100]]
    if malformed:
        detail = f"the body is not JSON: {faults[0].get('ctx', {}).get('error', faults[0]['msg'])}"
        errors = []  # a place in the text is none in the request
    else:
        where = ".".join(str(part) for part in errors[0]["loc"]) or "body"
        detail = f"{where}: {errors[0]['msg']}"
    return problem_response(path, 400 if malformed else 422, detail, request_id, errors)


def _message(said: Any) -> str:
    """What pydantic says of a fault; of one that our own validators found, what they said."""
    return str(said).removeprefix("Value error, ")


def _place(loc: Sequence[int | str]) -> list[int | str]:
    """Where in the request, without the word that says which part of it (body, query)."""
    return [part if isinstance(part, int) else part[:100] for part in loc if part not in {"body", "query"}]
