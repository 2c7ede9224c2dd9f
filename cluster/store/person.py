"""Everything that is stored of one person, for handing it out. Its opposite is `Retention.erase`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table, select

from cluster.fields import format_time
from cluster.records import event_record, user_record
from cluster.store.entities import UserStore
from cluster.store.events import COLUMNS, from_row
from cluster.store.part import Part, load
from cluster.store.tables import events, feedback, recommendations

PAGE_ROWS = 1_000


class Person(Part):
    """See the module."""

    name = "person"

    def records(self, tenant: str, user_id: str) -> Iterator[dict[str, Any]]:
        """Records of a person, each with its `kind`: user, event, feedback, recommendation.

        Read in pages, each a statement of its own, so that a long history holds up nobody.
        """
        for user in UserStore(self.database).get(tenant, [user_id]).values():
            yield {"kind": "user", **user_record(user)}
        cipher = self.database.cipher
        for row in self._rows(events, tenant, user_id):
            yield {"kind": "event", **event_record(from_row([getattr(row, name) for name in COLUMNS], cipher))}
        for row in self._rows(feedback, tenant, user_id):
            names = ("feedback_id", "user_id", "recommendation_id", "content_id", "item_id", "rating")
            record: dict[str, Any] = {name: getattr(row, name) for name in names}
            comment = None if row.comment is None else cipher.open(row.comment)
            yield {"kind": "feedback", **record, "comment": comment, "created_at": format_time(row.created_ms)}
        for row in self._rows(recommendations, tenant, user_id):
            items = [
                dict(zip(("item_id", "score", "propensity", "source"), item, strict=True)) for item in load(row.items)
            ]
            record = {name: getattr(row, name) for name in ("recommendation_id", "user_id", "model_version")}
            yield {"kind": "recommendation", **record, "items": items, "created_at": format_time(row.created_ms)}

    def _rows(self, table: Table, tenant: str, user_id: str) -> Iterator[Any]:
        after = 0
        while True:
            mine = (table.c.tenant == tenant, table.c.user_id == user_id, table.c.seq > after)
            with self.database.reading() as connection:
                page = connection.execute(select(table).where(*mine).order_by(table.c.seq).limit(PAGE_ROWS)).fetchall()
            yield from page
            if len(page) < PAGE_ROWS:
                return
            after = page[-1].seq
