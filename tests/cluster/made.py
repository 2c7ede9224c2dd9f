"""Events as the tests of the store make them."""

from __future__ import annotations

from dataclasses import replace

from cluster.messages import Event


def make_event(n: int, user: str = "u", item: str | None = None, **changes: object) -> Event:
    event = Event(f"e{n}", user, item or f"i{n}", "click", 1_700_000_000_000 + n)
    return replace(event, **changes)  # type: ignore[arg-type]
