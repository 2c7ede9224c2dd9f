"""The FastAPI application: routers, error handlers, the gate in front, and the services' life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Lifespan

from deployments import openapi, problems
from deployments.addresses import readable_address
from deployments.middleware import Gate
from deployments.routes import (
    admin,
    chat,
    content,
    events,
    feedback,
    items,
    operations,
    ops,
    page,
    recommendations,
    rules,
    session,
    users,
)
from deployments.schemas import EventBatch, EventBody, ItemBody, UserBody
from deployments.services import Services


def routed_app(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """All routes and their document, without services: what the reference in docs/ is made from."""
    app = FastAPI(
        title="Tailorbird",
        version=metadata.version("tailorbird"),
        summary="A recommender that also writes.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere; ours is in `routes.page`
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        dependencies=[Depends(readable_address)],
    )
    for module in (
        events,
        recommendations,
        content,
        chat,
        items,
        users,
        feedback,
        operations,
        ops,
        session,
        admin,
        rules,
    ):
        app.include_router(module.router)
    page.install(app)
    openapi.describe(app, (EventBatch, EventBody, ItemBody, UserBody))
    return app


def create_app(services: Services) -> ASGIApp:
    """The application of one replica. Its lifespan starts and stops `services`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.stop()

    app = routed_app(lifespan)
    app.state.services = services
    problems.install(app)
    ingress = services.settings.ingress
    gate = Gate(
        app,
        access=services.access,
        max_body_bytes=ingress.max_body_bytes,
        body_timeout_s=ingress.body_timeout_s,
        timeout_s=ingress.timeout_s,
        hsts_s=ingress.hsts_s,
        max_concurrent=ingress.max_concurrent,
        parked=lambda: services.pool.parked,
        metrics=services.metrics,
        hot={
            ("POST", "/v1/events"): lambda body, tenant: events.take(body, services.of(tenant)),
            ("POST", "/v1/recommendations"): lambda body, tenant: recommendations.answer(body, services.of(tenant)),
        },
    )
    if not ingress.cors_origins:
        return gate
    return CORSMiddleware(
        gate,
        allow_origins=ingress.cors_origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"],
        expose_headers=["Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"],
    )
