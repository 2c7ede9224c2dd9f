"""From a request to what ranking and writing need: the session view, the query, the facts for a text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from cluster import tracing
from cluster.errors import DeadlineError, NotFoundError, OverloadError, UnavailableError
from cluster.messages import Item, RankedItem, RankedList, RankQuery, Reason, SessionView, WriteTask
from deployments.list_schemas import RecommendRequest
from deployments.schemas import SessionItem
from deployments.services import Services
from deployments.writing_schemas import ContentRequest

_MAX_LIKED = 5
_LIKE_WEIGHT = 0.8
"""Events of a type that weighs at least this much (`events.weights`) say that a person likes the item."""


async def view_of(
    services: Services, user_id: str | None, session: Sequence[SessionItem] | None, timeout_s: float
) -> SessionView:
    """What is known of the person: the stored session, followed by the events that travel in the request.

    A session pool that does not answer in time gives an empty view, marked `degraded`; it is no error.
    """
    stored = None if user_id is None else services.identity.stored(services.tenant, user_id)
    return await stored_view_of(services, stored, session, timeout_s)


async def stored_view_of(
    services: Services, stored: str | None, session: Sequence[SessionItem] | None, timeout_s: float
) -> SessionView:
    """The same for an id that `services.identity` has been applied to already."""
    tenant = services.tenant
    if stored is None:
        view = SessionView(None, tenant=tenant)
    else:
        try:
            with tracing.step("session.view"):
                longest_s = services.settings.sessions.view_timeout_s
                view = await services.pool.view(tenant, stored, min(timeout_s, longest_s))
        except (DeadlineError, OverloadError, UnavailableError):
            view = SessionView(stored, tenant=tenant, degraded=True)
    if not session:
        return view
    now_ms = round(time.time() * 1000)
    return replace(
        view.plain(),
        items=view.items + tuple(event.item_id for event in session),
        types=view.types + tuple(event.type for event in session),
        values=view.values + tuple(event.value for event in session),
        # Oldest first, one millisecond apart, all before now.
        timestamps_ms=view.timestamps_ms + tuple(now_ms - len(session) + place for place in range(len(session))),
        seen=view.seen | {event.item_id for event in session if event.type != "impression"},
    )


async def query_of(
    services: Services, request: RecommendRequest, view: SessionView, shown: tuple[str, ...] = ()
) -> RankQuery:
    """The ranking query of a request. `shown` are the items of the pages before.

    Raises:
        InputError: the filter, or a rule, cannot be understood.
    """
    rules = await services.request_rules.read(view.tenant, request.rules) if request.rules else ()
    defaults = services.settings.recommender
    allowed = frozenset(request.candidates) if request.candidates is not None else None
    if request.filter is not None:
        matching = services.catalogue.matching_known(view.tenant, request.filter)
        if matching is None:
            matching = await asyncio.to_thread(services.catalogue.matching, view.tenant, request.filter)
        allowed = matching if allowed is None else allowed & matching
    return RankQuery(
        view=view,
        n=request.n,
        allowed=allowed,
        excluded=frozenset(request.exclude).union(shown),
        include_seen=request.include_seen,
        diversity=defaults.diversity if request.diversity is None else request.diversity,
        explore=defaults.explore if request.explore is None else request.explore,
        explain=bool(request.explain),
        seed=request.seed,
        rules=rules,
        steered=request.stored_rules,
        offset=len(shown),
    )


async def write_task(services: Services, request: ContentRequest, deadline_s: float, request_id: str) -> WriteTask:
    """Everything that the writer needs for a text: the items, what the person liked, the ranker's reasons.

    Raises:
        NotFoundError: an item is not in the catalogue.
    """
    end_s = time.monotonic() + deadline_s
    tenant = services.tenant
    ids = list(dict.fromkeys([request.item_id] if request.item_id is not None else request.item_ids or ()))
    items = await _items_of(services, ids)
    view = await view_of(
        services, request.user_id, request.session, min(deadline_s, services.settings.sessions.timeout_s)
    )
    reasons: tuple[Reason, ...] = ()
    if view.items:
        query = RankQuery(view, n=1, allowed=frozenset(ids[:1]), include_seen=True)
        with suppress(DeadlineError, OverloadError, UnavailableError):  # then the text does without
            ranked = await services.recommender.rank(query, (end_s - time.monotonic()) / 2)
            reasons = ranked.items[0].reasons if ranked.items else ()
    return WriteTask(
        kind=request.kind,
        items=items,
        liked=liked_items(services, view, reasons, frozenset(ids)),
        reasons=reasons,
        tone=request.tone,
        language=request.language,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        seed=request.seed,
        deadline_s=end_s - time.monotonic(),
        tenant=tenant,
        request_id=request_id,
    )


def offer_texts(services: Services, view: SessionView, found: RankedList) -> None:
    """Offer the first pitches of a list to be written ahead, as somebody would ask for them by `POST /v1/content`."""
    if wanted := services.prefetcher.items:
        for entry in reversed(found.items[:wanted]):
            services.prefetcher.offer(partial(_text_ahead, services, view, entry))


def _text_ahead(services: Services, view: SessionView, entry: RankedItem) -> WriteTask | None:
    item = services.catalogue.get(view.tenant, entry.item_id)
    if item is None:
        return None
    asked = ContentRequest(kind="pitch", item_id=entry.item_id)
    return WriteTask(
        kind=asked.kind,
        items=(item,),
        liked=liked_items(services, view, entry.reasons, frozenset({entry.item_id})),
        reasons=entry.reasons,
        tone=asked.tone,
        language=asked.language,
        max_tokens=asked.max_tokens,
        deadline_s=services.settings.ingress.timeout_s,
        tenant=view.tenant,
        ahead=True,
    )


async def _items_of(services: Services, ids: Sequence[str]) -> tuple[Item, ...]:
    """The items as they are stored now: whoever has just changed one is not told of it as it was.

    While the store does not answer, as the catalogue in memory knows them.

    Raises:
        NotFoundError: there is none with one of these ids.
    """
    tenant = services.tenant
    found: Mapping[str, Item | None]
    try:
        found = await asyncio.to_thread(services.store.items.get, tenant, ids)
    except UnavailableError:
        found = {item_id: services.catalogue.get(tenant, item_id) for item_id in ids}
    items = [item for item_id in ids if (item := found.get(item_id)) is not None]
    if len(items) < len(ids):
        missing = next(item_id for item_id in ids if found.get(item_id) is None)
        raise NotFoundError(f"item {missing[:100]!r} is not in the catalogue")
    return tuple(items)


def liked_items(
    services: Services, view: SessionView, reasons: Sequence[Reason], without: frozenset[str]
) -> tuple[Item, ...]:
    """Items that the person liked, most telling first: those that carried the score, then the newest likes.

    A click is no like: a text may not say so.
    """
    carried = [reason.item_id for reason in reasons if reason.kind == "because_liked" and reason.weight > 0]
    events = services.settings.events
    middle = sum(events.rating_scale) / 2
    liked = [
        item_id
        for item_id, kind, value in zip(reversed(view.items), reversed(view.types), reversed(view.values), strict=True)
        if (value is not None and value > middle if kind == "rating" else events.weights.get(kind, 0.0) >= _LIKE_WEIGHT)
    ]
    chosen: dict[str, Item] = {}
    known = set(liked)
    for item_id in [*(item_id for item_id in carried if item_id in known), *liked]:
        if item_id is None or item_id in without or item_id in chosen:
            continue
        item = services.catalogue.get(view.tenant, item_id)
        if item is not None and item.title:
            chosen[item_id] = item
        if len(chosen) == _MAX_LIKED:
            break
    return tuple(chosen.values())
