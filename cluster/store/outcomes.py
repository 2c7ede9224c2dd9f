"""What became of the lists that were given: clicks, likes and dwell by source, version and kind of text.

Read from the events themselves: those that name the list (`recommendation_id`) on which the person met the item. An
item counts as shown when an `impression` says so, or when anything else was done with it there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import func, select

from cluster.store.part import Part, load
from cluster.store.tables import events, recommendations

NEWEST_EVENTS = 200_000
"""Events that are looked at, at most: the newest ones."""
_LISTS_AT_ONCE = 500
_UNKNOWN = "unknown"
CLICKS = frozenset({"click", "view", "play", "add_to_cart", "purchase"})
LIKES = frozenset({"like", "share", "purchase"})
CONTENT_KIND = "content_kind"
"""The key of an event's context that names the kind of the text that the person read before."""


@dataclass(slots=True)
class Outcome:
    """Items shown, of those clicked and liked, and the seconds of `dwell` events with their count."""

    shown: int = 0
    clicked: int = 0
    liked: int = 0
    dwells: int = 0
    dwell_s: float = 0.0


@dataclass(slots=True)
class _Met:
    """What one person did with one item of one list."""

    types: set[str] = field(default_factory=set)
    dwells: list[float] = field(default_factory=list)
    kind: str | None = None


class Outcomes(Part):
    """See the module."""

    name = "outcomes"

    def of_lists(self, tenant: str, since_ms: int) -> dict[str, dict[str, Outcome]]:
        """Outcomes by `source`, `model_version` and `content_kind` (only items whose events name one).

        Args:
            tenant: whose. since_ms: events since this time, and of the newest `NEWEST_EVENTS` at most.
        """
        met = self._met(tenant, since_ms)
        found: dict[str, dict[str, Outcome]] = {
            name: defaultdict(Outcome) for name in ("source", "model_version", "content_kind")
        }
        lists = iter({list_id for list_id, _ in met})
        known: dict[str, tuple[str, dict[str, str]]] = {}
        while chunk := list(islice(lists, _LISTS_AT_ONCE)):
            known |= self._lists(tenant, chunk)
        for (list_id, item_id), one in met.items():
            version, sources = known.get(list_id, (_UNKNOWN, {}))
            _count(found["source"][sources.get(item_id, _UNKNOWN)], one)
            _count(found["model_version"][version], one)
            if one.kind is not None:
                _count(found["content_kind"][one.kind], one)
        return {name: dict(groups) for name, groups in found.items()}

    def _met(self, tenant: str, since_ms: int) -> dict[tuple[str, str], _Met]:
        of = events.c
        newest = select(func.coalesce(func.max(of.seq), 0) - NEWEST_EVENTS).scalar_subquery()
        statement = select(of.recommendation_id, of.item_id, of.type, of.value, of.context).where(
            of.seq > newest, of.tenant == tenant, of.timestamp_ms >= since_ms, of.recommendation_id.is_not(None)
        )
        met: dict[tuple[str, str], _Met] = defaultdict(_Met)
        with self.database.reading() as connection:
            for list_id, item_id, kind, value, context in connection.execute(statement):
                one = met[list_id, item_id]
                one.types.add(kind)
                if kind == "dwell" and value is not None:
                    one.dwells.append(value)
                if context and isinstance(told := _told(self.database.cipher.open(context)), str):
                    one.kind = told
        return met

    def _lists(self, tenant: str, list_ids: Iterable[str]) -> dict[str, tuple[str, dict[str, str]]]:
        of = recommendations.c
        statement = select(of.recommendation_id, of.model_version, recommendations.c["items"]).where(
            of.tenant == tenant, of.recommendation_id.in_(list(list_ids))
        )
        with self.database.reading() as connection:
            return {
                list_id: (version, {item[0]: item[3] for item in load(items)})
                for list_id, version, items in connection.execute(statement)
            }


def _told(context: str) -> object:
    fields = load(context)
    return fields.get(CONTENT_KIND) if isinstance(fields, dict) else None


def _count(outcome: Outcome, met: _Met) -> None:
    outcome.shown += 1
    outcome.clicked += not met.types.isdisjoint(CLICKS)
    outcome.liked += not met.types.isdisjoint(LIKES)
    outcome.dwells += len(met.dwells)
    outcome.dwell_s += sum(met.dwells)
