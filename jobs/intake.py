"""Files become events, items and users in two passes, so that a broken file leaves the store as it was.

The first pass (`Intake.check`) reads and checks everything and learns what the second needs: the types of attribute
columns, and which rows without an event id occur more than once. The second (`Intake.entities`) gives what to store.

A row without an event id gets one that follows from its content and from how many rows like it came before, so that
loading a file again adds nothing.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from cluster.config import Settings
from cluster.errors import InputError
from cluster.identity import Identity
from cluster.messages import Event, Item, User
from cluster.records import parse_event, parse_item, parse_user
from jobs.columns import RATING, ColumnMap, ColumnTypes, RecordBuilder
from jobs.sources import Row, Table, open_table

NEEDED = {"events": ("user_id", "item_id"), "items": ("item_id",), "users": ("user_id",)}

Entity = Event | Item | User
OnReject = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Format:
    """What the command line says of the files' form."""

    encoding: str = "utf-8"
    separator: str = "|"
    """Between the categories, and the tags, of a text cell."""
    time_unit_ms: int = 1000
    """Milliseconds of one unit of a time that is a number."""
    default_type: str | None = None
    """The type of an event that has none."""
    table: str | None = None
    """csv, tsv, jsonl or parquet, when the name does not say."""


@dataclass(slots=True)
class Checked:
    """A file that passed, and what the first pass learnt of it."""

    kind: str
    url: str
    rows: int = 0
    rejected: int = 0
    types: ColumnTypes = field(default_factory=ColumnTypes)
    repeated: RepeatedRows = field(default_factory=lambda: RepeatedRows())
    ratings: tuple[float, float] | None = None
    """Lowest and highest rating."""
    lengths: dict[str, int] = field(default_factory=dict)
    """Of vectors, by name."""

    def measure(self, item: Item) -> None:
        """Raise InputError where a vector of the item is longer or shorter than those of its name before."""
        for name, vector in item.vectors.items():
            length = self.lengths.setdefault(name, len(vector))
            if len(vector) != length:
                reason = f"item {item.item_id!r} has {len(vector)} numbers, items before it {length}"
                raise InputError(reason, f"vectors.{name}")


class Intake:
    """Reads files of all three kinds by one set of rules.

    Args:
        settings: tenant, limits and the key that pseudonymises.
        now_ms: the present for the whole run.
        columns: which column is which field.
        form: the files' form.
        on_reject: is given each bad row; None makes the first bad row an InputError.
        stored_ids: the user ids are the store's own already (a backup of a pseudonymised store).
    """

    def __init__(
        self,
        settings: Settings,
        now_ms: int,
        columns: ColumnMap | None = None,
        form: Format | None = None,
        on_reject: OnReject | None = None,
        stored_ids: bool = False,
    ) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self._columns = columns or ColumnMap.parse()
        self._form = form or Format()
        self._on_reject = on_reject
        self._identity = None if stored_ids else Identity.of(settings)

    def check(self, kind: str, url: str, report: Callable[[int], None] = lambda rows: None) -> Checked:
        """Read a whole file and check every row. Raises InputError as told by `on_reject`."""
        checked = Checked(kind, url)
        for values, entity in self._rows(checked, learning=True):
            checked.rows += 1
            if values is not None:
                checked.types.learn(values)
            if isinstance(entity, Event) and entity.type == RATING and entity.value is not None:
                low, high = checked.ratings or (entity.value, entity.value)
                checked.ratings = min(low, entity.value), max(high, entity.value)
            report(checked.rows)
        checked.repeated.settle()
        return checked

    def check_columns_used(self) -> None:
        """After all files were checked: raise InputError for a mapping whose column was in none of them."""
        self._columns.check_used()

    def entities(self, checked: Checked) -> Iterator[Entity]:
        """What a checked file holds, in its order, rejected rows left out."""
        return (entity for _, entity in self._rows(checked, learning=False))

    def _rows(self, checked: Checked, learning: bool) -> Iterator[tuple[Mapping[str, str] | None, Entity]]:
        """Entities; in the first pass over a text table each with the text of its attribute columns."""
        form = self._form
        builder = RecordBuilder(checked.kind, self._columns, checked.types, form.separator, form.time_unit_ms)
        with open_table(checked.url, form.encoding, form.table) as table:
            if table.columns is not None:
                try:
                    builder.check_columns(table.columns, self._needed(checked.kind, builder, table.columns))
                except InputError as error:
                    raise InputError(error.message, f"{table.name}, {error.place}") from None
            for row in table.rows:
                try:
                    if row.fault is not None:
                        raise InputError(row.fault)
                    entity = self._parse(checked, builder.build(row.values, table.typed), learning)
                except InputError as error:
                    self._reject(checked, table, row, builder.column_of(error.place), error, learning)
                    continue
                texts = learning and not table.typed and checked.kind != "events"
                yield builder.attribute_texts(row.values) if texts else None, entity

    def _needed(self, kind: str, builder: RecordBuilder, columns: tuple[str, ...]) -> tuple[str, ...]:
        """The fields that a table of this kind must have columns for."""
        if kind != "events" or self._form.default_type is not None or builder.has(columns, RATING):
            return NEEDED[kind]
        return (*NEEDED[kind], "type")

    def _reject(
        self, checked: Checked, table: Table, row: Row, column: str | None, error: InputError, learning: bool
    ) -> None:
        if self._on_reject is None:
            raise InputError(error.message, table.place(row.line, column)) from None
        if learning:
            checked.rejected += 1
            self._on_reject(
                {"file": table.name, "line": row.line, "column": column, "reason": error.message, "row": row.values}
            )

    def _parse(self, checked: Checked, record: dict[str, Any], learning: bool) -> Entity:
        settings, now_ms = self._settings, self._now_ms
        if checked.kind == "items":
            item = parse_item(record, now_ms=now_ms, tenant=settings.tenant, keep_updated=True)
            checked.measure(item)
            return item
        if checked.kind == "users":
            user = parse_user(record, now_ms=now_ms, tenant=settings.tenant, keep_updated=True)
            return replace(user, user_id=self._stored(user.user_id)) if self._identity else user
        event = parse_event(
            record,
            now_ms=now_ms,
            config=settings.events,
            tenant=settings.tenant,
            default_type=self._form.default_type,
        )
        event_id = event.event_id
        if record.get("event_id") is None:
            digest = _digest(event, timed=record.get("timestamp") is not None)
            if learning:
                checked.repeated.note(digest)
            else:
                event_id = checked.repeated.id_of(digest)
        if event_id is event.event_id and self._identity is None:
            return event
        return replace(event, event_id=event_id, user_id=self._stored(event.user_id))

    def _stored(self, user_id: str) -> str:
        return user_id if self._identity is None else self._identity.stored(self._settings.tenant, user_id)


class RepeatedRows:
    """Ids for rows that have none. Memory: 8 bytes a row, and an entry for each row that occurs again."""

    def __init__(self) -> None:
        self._heads = array("Q")
        self._repeated: frozenset[int] = frozenset()
        self._occurrences: Counter[bytes] = Counter()

    def note(self, digest: bytes) -> None:
        """First pass: a row with this content was seen."""
        self._heads.append(_head(digest))

    def settle(self) -> None:
        """End of the first pass: keep only what occurred more than once."""
        import numpy as np

        heads = np.sort(np.frombuffer(self._heads, dtype=np.uint64)) if self._heads else np.empty(0, np.uint64)
        self._repeated = frozenset(heads[1:][heads[1:] == heads[:-1]].tolist())
        del heads
        self._heads = array("Q")
        self._occurrences.clear()

    def id_of(self, digest: bytes) -> str:
        """Second pass: the event id of the next row with this content."""
        if _head(digest) not in self._repeated:
            return f"row-{digest.hex()}-0"
        self._occurrences[digest] += 1
        return f"row-{digest.hex()}-{self._occurrences[digest] - 1}"


def _head(digest: bytes) -> int:
    return int.from_bytes(digest[:8], sys.byteorder)


def _digest(event: Event, timed: bool) -> bytes:
    """16 bytes that stand for what a row says. A row that says no time is the same row tomorrow."""
    content = (
        event.user_id,
        event.item_id,
        event.type,
        event.value,
        event.timestamp_ms if timed else None,
        event.session_id,
        event.recommendation_id,
        event.context,
    )
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
