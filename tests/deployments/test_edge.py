"""What is taken off a request before Serve looks at it."""

from __future__ import annotations

from typing import Any

from ray.serve._private.http_util import validate_http_proxy_callback_return
from starlette.types import Message

from deployments.edge import middlewares


async def passed(scope: dict[str, Any]) -> dict[str, Any]:
    """What an application behind the middlewares gets."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    async def send(message: Message) -> None:
        raise AssertionError("nobody writes")

    wrapped: Any = app
    for middleware in reversed(validate_http_proxy_callback_return(middlewares())):
        wrapped = middleware.cls(wrapped, *middleware.args, **middleware.kwargs)
    await wrapped(scope, receive, send)
    return seen


async def test_headers_by_which_a_client_would_overrule_deadlines_are_taken_off() -> None:
    kept = [(b"host", b"here"), (b"x-request-id", b"r1")]
    given = [kept[0], (b"x-request-timeout-seconds", b"0.001"), (b"x-request-disconnect-disabled", b"?1"), kept[1]]
    assert (await passed({"type": "http", "headers": given}))["headers"] == kept


async def test_everything_else_passes_untouched() -> None:
    headers = [(b"host", b"here")]
    assert (await passed({"type": "http", "headers": headers}))["headers"] is headers
    assert await passed({"type": "lifespan"}) == {"type": "lifespan"}
