"""`/v1/session`: the page signs in with an API key, and who am I. See `deployments.page_session`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.api_keys import Principal
from cluster.errors import ForbiddenError
from cluster.fields import format_time
from deployments.access_schemas import SessionResponse
from deployments.routes.items import json_response
from deployments.services import Services, services_of

router = APIRouter(tags=["session"])

ServicesDep = Annotated[Services, Depends(services_of)]


@router.post("/v1/session", status_code=201, response_model=SessionResponse)
async def sign_in(request: Request, services: ServicesDep) -> Response:
    """Begin a session of the API key that this request carries: a cookie for browsers, and the CSRF token.

    The session may do what the key may, and ends with it, or after `ingress.session_h`.
    """
    principal: Principal = request.scope["principal"]
    kind, _, key_id = principal.subject.partition(":")
    if kind != "key":
        raise ForbiddenError("a session is made from an API key: send it as `Authorization: Bearer KEY`")
    value, token, ends_s = services.sessions.begin(key_id)
    response = json_response(_record(principal, token) | {"expires_at": format_time(ends_s * 1000)}, 201)
    _set(response, request, services, value, services.sessions.max_age_s)
    return response


@router.get("/v1/session", response_model=SessionResponse)
async def who_am_i(request: Request, services: ServicesDep) -> Response:
    """Whose key, token or session this request carries; for a session its CSRF token, which a new page needs."""
    cookie = request.headers.get("cookie")
    shown = "authorization" in request.headers or "x-api-key" in request.headers
    token = None if shown or cookie is None else services.sessions.csrf_token(cookie.encode("latin-1"))
    return json_response(_record(request.scope["principal"], token))


@router.delete("/v1/session", status_code=204, response_class=Response)
async def sign_out(request: Request, services: ServicesDep) -> Response:
    """Take the cookie back."""
    response = Response(status_code=204)
    _set(response, request, services, "", 0)
    return response


def _record(principal: Principal, token: str | None) -> dict[str, Any]:
    scopes = sorted(principal.scopes)
    return {"subject": principal.subject, "tenant": principal.tenant, "scopes": scopes, "csrf_token": token}


def _set(response: Response, request: Request, services: Services, value: str, max_age_s: int) -> None:
    is_https = "https" in {request.url.scheme, request.headers.get("x-forwarded-proto")}
    cookie = services.sessions.cookie
    response.set_cookie(cookie, value, max_age=max_age_s, httponly=True, samesite="strict", secure=is_https)
    # Tells the page, which cannot see the other, that asking who it is makes sense. It says nothing else.
    mark = "1" if value else ""
    response.set_cookie(f"{cookie}_open", mark, max_age=max_age_s, samesite="strict", secure=is_https)
