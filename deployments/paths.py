"""Paths through the graph: a person, an item of theirs, people who met both, the item of the list.

Who the people in the middle are is not told, only how many, and fewer than `FEW` are no path: a path that rests on one
person would tell of that person. They are of the same tenant, and never the one whom the list is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cluster.messages import RankedList
from deployments.services import Services

FEW = 3
MAX_LIKED = 20
"""Items of the person, the ones that carried most, that paths go by."""

NO_PATHS: Mapping[str, list[dict[str, Any]]] = MappingProxyType({})


async def paths_of(services: Services, found: RankedList, user_id: str | None) -> dict[str, list[dict[str, Any]]]:
    """The path to each item of a list that has one, by way of the event that carried most of its score."""
    by_liked: dict[str, list[str]] = {}
    for entry in found.items:
        carried = [reason for reason in entry.reasons if reason.kind == "because_liked" and reason.item_id is not None]
        if carried:
            best = max(carried, key=lambda reason: reason.weight)
            by_liked.setdefault(str(best.item_id), []).append(entry.item_id)
    chosen = sorted(by_liked, key=lambda liked: -len(by_liked[liked]))[:MAX_LIKED]
    return await asyncio.to_thread(_paths, services, {liked: by_liked[liked] for liked in chosen}, user_id)


def _paths(
    services: Services, by_liked: Mapping[str, list[str]], user_id: str | None
) -> dict[str, list[dict[str, Any]]]:
    events = services.settings.events
    apart = tuple(kind for kind, weight in events.weights.items() if weight <= 0)
    liked_from = sum(events.rating_scale) / 2
    paths: dict[str, list[dict[str, Any]]] = {}
    for liked, items in by_liked.items():
        counts = services.store.events.people_of_both(services.tenant, liked, items, user_id, apart, liked_from)
        for item_id, count in counts.items():
            if count >= FEW:
                paths[item_id] = [
                    {"kind": "you"},
                    {"kind": "item", "item_id": liked},
                    {"kind": "people", "count": count},
                    {"kind": "item", "item_id": item_id},
                ]
    return paths
