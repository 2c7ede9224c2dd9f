"""The event store: append-only, idempotent by event id, numbered in the order in which rows become visible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, distinct, func, or_, select, text

from cluster.cipher import FieldCipher
from cluster.messages import Event
from cluster.store.part import Part, by_number, dump, load, write
from cluster.store.tables import events

if TYPE_CHECKING:
    import pyarrow

EventRow = tuple[
    str, str, str, str, str, float | None, int, str | None, str | None, str | None
]  # in the order of COLUMNS
SessionRow = tuple[int, str, str, float | None, int]
"""What a session needs of an event: seq, item id, type, value, timestamp in ms."""
TailRow = tuple[int, str, str, str, str, float | None, int]
"""What a shard needs of a stranger's event: seq, tenant, user id, item id, type, value, timestamp in ms."""

COLUMNS = tuple(column.name for column in events.columns if column.name != "seq")
_NAMES = ", ".join(COLUMNS)

# The append path speaks to the driver: through SQLAlchemy's own insert it is three times slower (benchmarks/store.py).
_SQLITE_INSERT = f"INSERT INTO events ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT DO NOTHING"
# One statement whatever the number of rows, prepared once; sorted, so that numbers follow the order given.
_POSTGRES_TYPES = ("text", "text", "text", "text", "text", "float8", "int8", "text", "text", "text")
_POSTGRES_INSERT = (
    f"INSERT INTO events ({_NAMES}) SELECT {_NAMES} FROM unnest("
    + ", ".join(f"%s::{kind}[]" for kind in _POSTGRES_TYPES)
    + f") WITH ORDINALITY AS given ({_NAMES}, place) ORDER BY place "
    "ON CONFLICT DO NOTHING RETURNING seq, tenant, event_id"
)
_SQLITE_SESSION = (
    "SELECT seq, item_id, type, value, timestamp_ms FROM events "
    "WHERE tenant = ? AND user_id = ? ORDER BY seq DESC LIMIT ?"
)
_POSTGRES_SESSIONS = (
    "SELECT place, seq, item_id, type, value, timestamp_ms "
    "FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (tenant, user_id, place) "
    "CROSS JOIN LATERAL (SELECT seq, item_id, type, value, timestamp_ms FROM events "
    "WHERE events.tenant = asked.tenant AND events.user_id = asked.user_id ORDER BY seq DESC LIMIT %s) AS newest"
)


def to_row(event: Event) -> EventRow:
    """The event as a row, without its number."""
    return (
        event.tenant,
        event.event_id,
        event.user_id,
        event.item_id,
        event.type,
        event.value,
        event.timestamp_ms,
        event.session_id,
        event.recommendation_id,
        None if event.context is None else dump(event.context),
    )


def from_row(row: Sequence[Any], cipher: FieldCipher) -> Event:
    """The event of a row as `COLUMNS` orders it, its context opened."""
    tenant, event_id, user_id, item_id, type_, value, timestamp_ms, session_id, recommendation_id, context = row
    return Event(
        event_id=event_id,
        user_id=user_id,
        item_id=item_id,
        type=type_,
        timestamp_ms=timestamp_ms,
        value=value,
        session_id=session_id,
        recommendation_id=recommendation_id,
        context=None if context is None else load(cipher.open(context)),
        tenant=tenant,
    )


MAX_PEOPLE = 2_000
"""Of the people who met an item, the newest that `people_of_both` looks at."""


class EventStore(Part):
    """See the module. Numbers (`seq`) start at 1 and may have gaps."""

    name = "events"

    @write
    def append(self, batch: list[Event]) -> list[bool]:
        """Store events in one transaction; what is returned is on disk.

        Returns:
            For each event, in order, whether it is new. The second of two equal ids in a batch is not.
        """
        return [seq > 0 for seq in self.append_rows([to_row(event) for event in batch])]

    @write
    def append_rows(self, rows: list[EventRow]) -> list[int]:
        """`append` for rows, with each row's number instead of True and 0 instead of False."""
        if not rows:
            return []
        cipher = self.database.cipher
        if cipher.is_on:
            rows = [row if row[-1] is None else (*row[:-1], cipher.seal(row[-1])) for row in rows]
        with self.database.writing() as connection:
            if self.database.dialect == "sqlite":
                return _append_sqlite(connection, rows)
            self.database.ordered(connection)
            return _append_postgres(connection, rows)

    def of_users(self, tenant: str, user_ids: Sequence[str], limit: int) -> dict[str, list[Event]]:
        """The newest `limit` events of each of these users, oldest first; a user without events has an empty list."""
        found: dict[str, list[Event]] = {}
        columns = [events.c[name] for name in COLUMNS]
        cipher = self.database.cipher
        with self.database.reading() as connection:
            for user_id in dict.fromkeys(user_ids):
                newest = (
                    select(*columns)
                    .where(events.c.tenant == tenant, events.c.user_id == user_id)
                    .order_by(events.c.seq.desc())
                    .limit(limit)
                )
                found[user_id] = [from_row(row, cipher) for row in connection.execute(newest)][::-1]
        return found

    def session_rows(self, users: Sequence[tuple[str, str]], limit: int) -> list[list[SessionRow]]:
        """The newest `limit` events of each (tenant, user id), oldest first, in the order asked: n in, n out."""
        with self.database.reading() as connection:
            if self.database.dialect == "sqlite":
                with closing(connection.connection.cursor()) as cursor:
                    return [cursor.execute(_SQLITE_SESSION, (*user, limit)).fetchall()[::-1] for user in users]
            found: list[list[SessionRow]] = [[] for _ in users]
            asked = ([user[0] for user in users], [user[1] for user in users], limit)
            for place, *row in connection.exec_driver_sql(_POSTGRES_SESSIONS, asked):
                found[place - 1].append(tuple(row))
            for rows in found:
                rows.sort()  # by seq, which is unique
            return found

    def since(self, seq: int, limit: int) -> list[tuple[int, Event]]:
        """Events of all tenants with a higher number, in order, at most `limit`. None is passed over, ever."""
        statement = select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
        with self.database.reading() as connection:
            return [(row[0], from_row(row[1:], self.database.cipher)) for row in connection.execute(statement)]

    def tail_rows(self, seq: int, limit: int) -> list[TailRow]:
        """`since` with only what sessions need."""
        c = events.c
        statement = (
            select(c.seq, c.tenant, c.user_id, c.item_id, c.type, c.value, c.timestamp_ms)
            .where(c.seq > seq)
            .order_by(c.seq)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(statement)]

    def latest_seq(self) -> int:
        """The highest number that is visible, 0 when there is none."""
        with self.database.reading() as connection:
            return connection.execute(select(func.max(events.c.seq))).scalar() or 0

    def count(self, tenant: str) -> int:
        """How many events the tenant has."""
        with self.database.reading() as connection:
            statement = select(func.count()).select_from(events).where(events.c.tenant == tenant)
            return connection.execute(statement).scalar_one()

    def scan(self, tenant: str, after_seq: int = 0, limit: int = 10_000) -> list[tuple[int, Event]]:
        """A page of the tenant's events in order; the last number is where the next page starts."""
        statement = (
            select(events)
            .where(by_number(events.c.tenant, tenant), events.c.seq > after_seq)
            .order_by(events.c.seq)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [(row[0], from_row(row[1:], self.database.cipher)) for row in connection.execute(statement)]

    def arrow_batches(
        self,
        tenant: str,
        rows: int = 50_000,
        after: int = 0,
        until: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pyarrow.RecordBatch]:
        """All events of a tenant, by number, as Arrow: the columns of the table but for `tenant`, context as JSON text.

        Each batch is a statement of its own, so a long export holds up nobody, and sees rows stored meanwhile.

        Args:
            after: only numbers above this.
            until: only numbers up to this.
            columns: only these, and `seq`.
        """
        import pyarrow

        schema = arrow_schema()
        if columns is not None:
            schema = pyarrow.schema([field for field in schema if field.name in {"seq", *columns}])
        chosen = [events.c[name] for name in schema.names]
        while True:
            statement = (
                select(*chosen)
                .where(by_number(events.c.tenant, tenant), events.c.seq > after)
                .order_by(events.c.seq)
                .limit(rows)
            )
            if until is not None:
                statement = statement.where(events.c.seq <= until)
            with self.database.reading() as connection:
                found = connection.execute(statement).fetchall()
            if not found:
                return
            after = found[-1][0]
            values = dict(zip(schema.names, zip(*found, strict=True), strict=True))
            if "context" in values:
                values["context"] = tuple(text and self.database.cipher.open(text) for text in values["context"])
            arrays = [pyarrow.array(values[field.name], field.type) for field in schema]
            yield pyarrow.record_batch(arrays, schema=schema)

    def popular(self, tenant: str, n: int) -> list[tuple[str, int]]:
        """The n items with the most events, and how many; equals ordered by id."""
        counted = func.count()
        statement = (
            select(events.c.item_id, counted)
            .where(events.c.tenant == tenant, text("type <> 'impression'"))
            .group_by(events.c.item_id)
            .order_by(counted.desc(), events.c.item_id)
            .limit(n)
        )
        with self.database.reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(statement)]

    def impressions(self, tenant: str) -> dict[str, int]:
        """How often each item was seen in lists, as events of type `impression` say."""
        statement = (
            select(events.c.item_id, func.count())
            .where(by_number(events.c.tenant, tenant), text("type = 'impression'"))
            .group_by(events.c.item_id)
        )
        with self.database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def people_of_both(
        self, tenant: str, one: str, others: Sequence[str], without: str | None, apart: Sequence[str], liked_from: float
    ) -> dict[str, int]:
        """For each of the other items, how many people met it and `one`, among the last `MAX_PEOPLE` who met `one`.

        Args:
            without: somebody who is not counted. apart: types of events that do not count.
            liked_from: nor do ratings below this.
        """
        c = events.c
        counts = (
            c.tenant == tenant,
            c.type.not_in(list(apart)),
            or_(c.type != "rating", c.value >= liked_from),
            *(() if without is None else (c.user_id != without,)),
        )
        newest = select(c.user_id).where(*counts, c.item_id == one).order_by(c.seq.desc()).limit(MAX_PEOPLE).subquery()
        people = func.count(distinct(c.user_id))
        statement = (
            select(c.item_id, people)
            .where(*counts, c.item_id.in_(list(others)), c.user_id.in_(select(newest.c.user_id)))
            .group_by(c.item_id)
        )
        with self.database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}


def arrow_schema() -> pyarrow.Schema:
    """The columns of `EventStore.arrow_batches`."""
    import pyarrow

    text_type, number = pyarrow.string(), pyarrow.int64()
    return pyarrow.schema(
        [
            pyarrow.field("seq", number, nullable=False),
            pyarrow.field("event_id", text_type, nullable=False),
            pyarrow.field("user_id", text_type, nullable=False),
            pyarrow.field("item_id", text_type, nullable=False),
            pyarrow.field("type", text_type, nullable=False),
            pyarrow.field("value", pyarrow.float64()),
            pyarrow.field("timestamp_ms", number, nullable=False),
            pyarrow.field("session_id", text_type),
            pyarrow.field("recommendation_id", text_type),
            pyarrow.field("context", text_type),
        ]
    )


def _append_sqlite(connection: Connection, rows: list[EventRow]) -> list[int]:
    with closing(connection.connection.cursor()) as cursor:
        seqs = []
        for row in rows:
            cursor.execute(_SQLITE_INSERT, row)
            seqs.append(cursor.lastrowid if cursor.rowcount == 1 else 0)
        return seqs


def _append_postgres(connection: Connection, rows: list[EventRow]) -> list[int]:
    columns = tuple(list(column) for column in zip(*rows, strict=True))
    inserted = connection.exec_driver_sql(_POSTGRES_INSERT, columns)
    new = {(tenant, event_id): seq for seq, tenant, event_id in inserted}
    return [new.pop((row[0], row[1]), 0) for row in rows]
