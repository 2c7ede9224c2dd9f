"""Answers for operators and for whatever watches: health, the overview, outcomes of lists, the map of items."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from deployments.schemas import Answer


class Health(Answer):
    """How a process stands."""

    status: Literal["live", "ready", "starting"]
    """`live` or `ready`; `starting` comes with `503`."""


class VersionOut(Answer):
    """A published version."""

    version: str
    """Its name."""
    created_at: str
    """When it was made."""
    metrics: dict[str, float]
    """What it reached on held-out sessions."""


class MoveOut(Answer):
    """A change of the live version."""

    from_: str | None = Field(alias="from")
    """The version before."""
    to: str
    """The version after."""
    at: str
    """When."""


class Overview(Answer):
    """The whole copy. Counters are totals since the processes began."""

    time: str
    """When this was asked."""
    model_version: str
    """The version that this replica ranks with."""
    live: str | None
    """The version that the registry names."""
    versions: list[VersionOut]
    """The newest 50."""
    moves: list[MoveOut]
    """The newest 50."""
    items: int
    """Items of the catalogue."""
    shards: list[dict[str, Any] | None]
    """Each session shard's figures; null for one that does not answer."""
    replicas: dict[str, Any] | None
    """Replicas of each deployment by state, and what Serve says of it."""
    unreachable_nodes: int | None
    """Nodes whose agents do not answer."""
    load: dict[str, Any] | None
    """Requests by route and status, their times, texts, tokens, guard rules, cache, queue. Histograms are lists of
    upper bound and count."""


class OutcomeOut(Answer):
    """What became of the items of one group."""

    name: str
    """The source, version or kind of text."""
    shown: int
    """Items that were seen: events of type `impression`."""
    clicked: int
    """Those of them that were clicked."""
    liked: int
    """Those of them that were liked."""
    click_through: float | None
    """Share that was clicked."""
    like_rate: float | None
    """Share that was liked."""
    dwell_s: float | None
    """Mean seconds of `dwell`."""


class OutcomesResponse(Answer):
    """Outcomes of the lists of some days."""

    days: float
    """How far back."""
    source: list[OutcomeOut]
    """By the source that carried the item."""
    model_version: list[OutcomeOut]
    """By version."""
    content_kind: list[OutcomeOut]
    """By kind of text, where events name one (`context.content_kind`)."""


class MapPoint(Answer):
    """An item's place."""

    item_id: str
    """The item."""
    title: str | None
    """Its title."""
    category: str | None
    """Its first category."""
    x: float
    """From -1 to 1."""
    y: float
    """From -1 to 1."""


class ItemMap(Answer):
    """Items in the plane."""

    model_version: str
    """The version whose embeddings are shown."""
    items: list[MapPoint]
    """The items, the most popular first."""
