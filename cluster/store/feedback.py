"""Feedback on lists and texts, and the log of the lists that were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select

from cluster.messages import DEFAULT_TENANT
from cluster.store.part import Part, dump, load, write
from cluster.store.tables import feedback, recommendations


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said of a list (`recommendation_id`) or a text (`content_id`). `rating` is up or down."""

    feedback_id: str
    created_ms: int
    user_id: str | None = None
    recommendation_id: str | None = None
    content_id: str | None = None
    item_id: str | None = None
    rating: str | None = None
    comment: str | None = None
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A list that was given. `items` are (item id, score, propensity); `variant` is the arm of an experiment."""

    recommendation_id: str
    created_ms: int
    model_version: str
    items: tuple[tuple[str, float, float], ...] = ()
    user_id: str | None = None
    variant: str | None = None
    tenant: str = DEFAULT_TENANT


class FeedbackStore(Part):
    """See the module. Both are idempotent by id: what comes again is left as it was."""

    name = "feedback"

    @write
    def add(self, batch: list[Feedback]) -> None:
        """Store feedback, in one transaction."""
        names = [column.name for column in feedback.columns if column.name != "seq"]
        self._insert(feedback, [{name: getattr(entry, name) for name in names} for entry in batch])

    @write
    def log(self, batch: list[Recommendation]) -> None:
        """Record lists that were given, in one transaction."""
        names = [column.name for column in recommendations.columns if column.name not in {"seq", "items"}]
        self._insert(
            recommendations,
            [{name: getattr(entry, name) for name in names} | {"items": dump(entry.items)} for entry in batch],
        )

    def scan(self, tenant: str, after_seq: int = 0, limit: int = 10_000) -> list[tuple[int, Feedback]]:
        """A page of the tenant's feedback in order; the last number is where the next page starts."""
        return [
            (row.seq, Feedback(**{name: getattr(row, name) for name in Feedback.__dataclass_fields__}))
            for row in self._page(feedback, tenant, after_seq, limit)
        ]

    def scan_log(self, tenant: str, after_seq: int = 0, limit: int = 10_000) -> list[tuple[int, Recommendation]]:
        """A page of the lists that were given, in order."""
        return [(row.seq, _recommendation(row)) for row in self._page(recommendations, tenant, after_seq, limit)]

    def recommendation(self, tenant: str, recommendation_id: str) -> Recommendation | None:
        """A list that was given, if it was logged and is still kept."""
        c = recommendations.c
        statement = select(recommendations).where(c.tenant == tenant, c.recommendation_id == recommendation_id)
        with self.database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else _recommendation(row)

    def _insert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        with self.database.writing() as connection:
            connection.execute(self.insert_into(table).on_conflict_do_nothing(), rows)

    def _page(self, table: Table, tenant: str, after_seq: int, limit: int) -> Sequence[Any]:
        statement = (
            select(table).where(table.c.tenant == tenant, table.c.seq > after_seq).order_by(table.c.seq).limit(limit)
        )
        with self.database.reading() as connection:
            return connection.execute(statement).fetchall()


def _recommendation(row: Any) -> Recommendation:
    return Recommendation(
        recommendation_id=row.recommendation_id,
        created_ms=row.created_ms,
        model_version=row.model_version,
        items=tuple((item_id, score, propensity) for item_id, score, propensity in load(row.items)),
        user_id=row.user_id,
        variant=row.variant,
        tenant=row.tenant,
    )
