"""Feedback on lists and texts, and the log of the lists that were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select

from cluster.messages import DEFAULT_TENANT
from cluster.store.part import Part, by_number, dump, load, write
from cluster.store.retention import user_digest
from cluster.store.tables import erasures, feedback, recommendations

LogRow = tuple[str, str, str | None, str, str | None, str, str | None, int]
"""Tenant, id, user id, version, variant, items and `before` as JSON, time: plain values, cheap to send."""
_LOG_COLUMNS = (
    "tenant",
    "recommendation_id",
    "user_id",
    "model_version",
    "variant",
    "items",
    "before",
    "created_ms",
)
ERASURE_MARGIN_MS = 2_000
"""By how much the clocks of two machines may differ."""


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
    """A list that was given.

    `items` are (item id, score, propensity, source); `variant` is the arm of an experiment; `before` are the items that
    earlier pages of this list showed.
    """

    recommendation_id: str
    created_ms: int
    model_version: str
    items: tuple[tuple[str, float, float, str], ...] = ()
    user_id: str | None = None
    variant: str | None = None
    before: tuple[str, ...] = ()
    tenant: str = DEFAULT_TENANT

    def row(self) -> LogRow:
        """As `FeedbackStore.log_rows` takes it."""
        items, before = dump(self.items), dump(self.before) if self.before else None
        named = (self.tenant, self.recommendation_id, self.user_id, self.model_version, self.variant)
        return (*named, items, before, self.created_ms)


class FeedbackStore(Part):
    """See the module. Both are idempotent by id: what comes again is left as it was."""

    name = "feedback"

    @write
    def add(self, batch: list[Feedback]) -> None:
        """Store feedback, in one transaction."""
        names = [column.name for column in feedback.columns if column.name != "seq"]
        seal = self.database.cipher.seal
        rows = [{name: getattr(entry, name) for name in names} for entry in batch]
        self._insert(feedback, [row | {"comment": row["comment"] and seal(row["comment"])} for row in rows])

    def log(self, batch: list[Recommendation]) -> None:
        """Record lists that were given; see `log_rows`."""
        self.log_rows([entry.row() for entry in batch])

    @write
    def log_rows(self, batch: list[LogRow]) -> None:
        """Record lists that were given, in one transaction.

        Lists wait in memory before they come here. Those of a person who was erased meanwhile are left out.
        """
        if not batch:
            return
        oldest_ms = min(row[-1] for row in batch) - ERASURE_MARGIN_MS
        notices = select(erasures.c.digest, erasures.c.erased_ms).where(erasures.c.erased_ms >= oldest_ms)
        with self.database.writing() as connection:
            self.database.ordered(connection)  # no erasure comes between the look and the insert
            erased: dict[bytes, int] = {}
            for digest, moment_ms in connection.execute(notices):
                erased[bytes(digest)] = max(moment_ms, erased.get(bytes(digest), 0))
            kept = [dict(zip(_LOG_COLUMNS, row, strict=True)) for row in batch if not _is_erased(row, erased)]
            if kept:
                connection.execute(self.insert_into(recommendations).on_conflict_do_nothing(), kept)

    def scan(self, tenant: str, after_seq: int = 0, limit: int = 10_000) -> list[tuple[int, Feedback]]:
        """A page of the tenant's feedback in order; the last number is where the next page starts."""
        opened = self.database.cipher.open
        found = []
        for row in self._page(feedback, tenant, after_seq, limit):
            fields = {name: getattr(row, name) for name in Feedback.__dataclass_fields__}
            found.append((row.seq, Feedback(**fields | {"comment": row.comment and opened(row.comment)})))
        return found

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
        here = (by_number(table.c.tenant, tenant), table.c.seq > after_seq)
        statement = select(table).where(*here).order_by(table.c.seq).limit(limit)
        with self.database.reading() as connection:
            return connection.execute(statement).fetchall()


def _is_erased(row: LogRow, erased: Mapping[bytes, int]) -> bool:
    if not erased or row[2] is None:
        return False
    return row[-1] <= erased.get(user_digest(row[0], row[2]), -ERASURE_MARGIN_MS) + ERASURE_MARGIN_MS


def _recommendation(row: Any) -> Recommendation:
    return Recommendation(
        recommendation_id=row.recommendation_id,
        created_ms=row.created_ms,
        model_version=row.model_version,
        items=tuple((item_id, score, propensity, source) for item_id, score, propensity, source in load(row.items)),
        user_id=row.user_id,
        variant=row.variant,
        before=tuple(load(row.before)) if row.before else (),
        tenant=row.tenant,
    )
