"""From a table's row to a record of `cluster.records`: which column is which field, and what its text means.

A mapping is written `[KIND.]FIELD=COLUMN`, KIND one of events, items, users: `user_id=uid` names the column for every
table that has a user id, `events.user_id=uid` for the events alone. `attributes.NAME=COLUMN` makes an attribute under
another name, `vectors.NAME=COLUMN` a vector of a list of numbers. A column that bears a field's name needs no mapping.

Columns left over become attributes of items and users; in events they are refused unless they are ignored by name,
since a misspelt `timestamp` would otherwise make everything happen now. Text becomes what its field is: numbers,
times, lists (split at the separator), JSON. An attribute column is made of integers, numbers or true and false when
all its values are (`ColumnTypes`), otherwise it stays text, as postal codes must.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from cluster.errors import InputError
from cluster.fields import finite_number
from cluster.records import EVENT_FIELDS, ITEM_FIELDS, USER_FIELDS

RATING = "rating"
"""A field of events in files only: a filled `rating` means type rating, with this value."""

FIELDS = {"events": EVENT_FIELDS | {RATING}, "items": ITEM_FIELDS, "users": USER_FIELDS}
IDS = frozenset({"event_id", "user_id", "item_id", "session_id", "recommendation_id"})
LISTS = frozenset({"categories", "tags"})
TIMES = frozenset({"timestamp", "available_from", "available_until", "updated_at"})
NUMBERS = frozenset({"value", RATING})
OBJECTS = frozenset({"attributes", "context", "vectors"})

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?")
"""A number that a float can hold: longer ones are article numbers, as are those that begin with a zero."""
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(slots=True)
class ColumnMap:
    """What `--map` and `--ignore` say. `used` collects the mappings that a table had the column for."""

    targets: dict[str, dict[str, str]]
    """Per kind: the field (or `attributes.NAME`) of a column."""
    everywhere: dict[str, str]
    """Field of a column, for every kind that has the field."""
    ignored: frozenset[str] = frozenset()
    used: set[str] = field(default_factory=set)

    @classmethod
    def parse(cls, maps: Iterable[str] = (), ignore: Iterable[str] = ()) -> ColumnMap:
        """Read the options; each may hold several entries with commas between. Raises InputError."""
        targets: dict[str, dict[str, str]] = {kind: {} for kind in FIELDS}
        everywhere: dict[str, str] = {}
        for entry in _entries(maps):
            target, equals, column = (part.strip() for part in entry.partition("="))
            if not (target and equals and column):
                raise InputError(f"{entry!r} is not [KIND.]FIELD=COLUMN", "--map")
            kind, dot, name = target.partition(".")
            if dot and kind in FIELDS:
                _check_field(name, (kind,), entry)
                targets[kind][column] = name
            else:
                _check_field(target, tuple(FIELDS), entry)
                everywhere[column] = target
        return cls(targets, everywhere, frozenset(_entries(ignore)))

    def of(self, kind: str) -> dict[str, str]:
        """Column to field, for one kind."""
        general = {column: name for column, name in self.everywhere.items() if _is_field(name, kind)}
        return general | self.targets[kind]

    def check_used(self) -> None:
        """Raise InputError for a mapping whose column was in no table."""
        for column in [*self.everywhere, *(name for by_column in self.targets.values() for name in by_column)]:
            if column not in self.used:
                raise InputError(f"the column {column!r} is in none of the files", "--map")


class ColumnTypes:
    """What the attribute columns of a text table are made of, learnt value by value."""

    def __init__(self) -> None:
        self._kinds: dict[str, frozenset[str]] = {}

    def learn(self, texts: Mapping[str, str]) -> None:
        """Take the values of one more row into account."""
        for column, text in texts.items():
            kinds = self._kinds.get(column)
            if kinds is None or kinds:
                fits = _kinds(text)
                self._kinds[column] = fits if kinds is None else kinds & fits

    def convert(self, column: str, text: str) -> Any:
        """The value of a text, in the type of its column."""
        kinds = self._kinds.get(column, frozenset())
        if "int" in kinds and _INTEGER.fullmatch(text):
            return int(text)
        if "float" in kinds and _DECIMAL.fullmatch(text):
            return float(text)
        return text.lower() == "true" if "bool" in kinds else text


class RecordBuilder:
    """Makes records of one table's rows."""

    def __init__(
        self, kind: str, columns: ColumnMap, types: ColumnTypes, separator: str = "|", time_unit_ms: int = 1000
    ) -> None:
        """`separator` splits categories and tags; one unit of a numeric time is `time_unit_ms` milliseconds."""
        self.kind = kind
        self._map = columns
        self._targets = columns.of(kind)
        self._fields = FIELDS[kind]
        self._mapped = frozenset(self._targets.values())
        self._types = types
        self._separator = separator
        self._time_unit_ms = time_unit_ms

    def check_columns(self, columns: tuple[str, ...], needed: Iterable[str]) -> None:
        """Raise InputError when columns are not known, are one field twice, or a field that is needed has none."""
        unknown = [column for column in columns if self._is_unknown(column, columns)]
        targets = [target for column in columns if column not in unknown and (target := self._target(column, columns))]
        twice = sorted({target for target in targets if targets.count(target) > 1})
        missing = [name for name in needed if name not in targets]
        faults = [
            *([f"{', '.join(unknown)}: no field of {self.kind}"] if unknown else []),
            *([f"{', '.join(missing)}: no column of the table"] if missing else []),
            *([f"{', '.join(twice)}: more than one column"] if twice else []),
        ]
        if faults:
            raise InputError(
                f"{'; '.join(faults)}. The columns are {', '.join(columns)}. "
                f"Name a field's column by --map {self.kind}.FIELD=COLUMN, leave columns out by --ignore COLUMN",
                "header",
            )

    def build(self, values: Mapping[str, Any], typed: bool) -> dict[str, Any]:
        """The record of a row. Raises InputError with the field as its place."""
        record: dict[str, Any] = {}
        extra: dict[str, dict[str, Any]] = {}
        for column, value in values.items():
            if value is None or (not typed and not value.strip()):
                continue
            target = self._target(column, values)
            if target is None:
                continue
            whole, _, name = target.partition(".")
            if whole == "attributes" and name:
                made = _plain(value) if typed else self._types.convert(name, value.strip())
                extra.setdefault(whole, {})[name] = made
            elif whole == "vectors" and name:
                extra.setdefault(whole, {})[name] = self._value(whole, value, typed)
            else:
                record[target] = self._value(target, value, typed)
        for whole, parts in extra.items():
            given = record.get(whole, {})
            if not isinstance(given, Mapping):
                raise InputError("must be an object", whole)
            record[whole] = {**given, **parts}
        if self.kind == "events":
            _rate(record)
        return record

    def attribute_texts(self, values: Mapping[str, str]) -> dict[str, str]:
        """Attribute name to text, of a row of a text table, without the empty ones."""
        texts = {}
        for column, value in values.items():
            target = self._target(column, values)
            if target is not None and target.startswith("attributes.") and (text := value.strip()):
                texts[target.removeprefix("attributes.")] = text
        return texts

    def has(self, columns: tuple[str, ...], name: str) -> bool:
        """Whether one of the columns is this field."""
        return any(
            not self._is_unknown(column, columns) and self._target(column, columns) == name for column in columns
        )

    def column_of(self, place: str) -> str | None:
        """The column that a field's value came from, to name it in an error."""
        name = place.split(".")[0]
        return next((column for column, target in self._targets.items() if target == name), place or None)

    def _is_own(self, column: str, present: Container[str]) -> bool:
        """Whether a column is the field of its name, which it is not where another column present is mapped to it."""
        if column not in self._fields:
            return False
        if column not in self._mapped:
            return True
        return not any(target == column and other in present for other, target in self._targets.items())

    def _is_unknown(self, column: str, present: Container[str]) -> bool:
        """Whether nothing says what to do with this column. Only events have such: others have attributes."""
        return (
            self.kind == "events"
            and column not in self._targets
            and not self._map.ignored & {column, "*"}
            and not self._is_own(column, present)
        )

    def _target(self, column: str, present: Container[str]) -> str | None:
        """The field of a column, among those present; None when it is left out."""
        if column in self._targets:
            self._map.used.add(column)
            return self._targets[column]
        if column in self._map.ignored:
            return None
        if self._is_own(column, present):
            return column
        if "*" in self._map.ignored:
            return None
        if self.kind == "events":
            raise InputError("is not a field of an event; see --map and --ignore", column)
        return f"attributes.{column}"

    def _value(self, target: str, value: Any, typed: bool) -> Any:
        text = value.strip() if isinstance(value, str) else None
        if target in IDS:
            # In text every id is text, and spaces around it are layout; in a typed table numbers are ids as well.
            if not typed:
                return text
            return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if target in TIMES:
            if text is not None and _NUMBER.fullmatch(text):
                value = float(text)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return value * self._time_unit_ms / 1000
            return text if text is not None else _plain(value)
        if target in LISTS and text is not None:
            return [part for entry in text.split(self._separator) if (part := entry.strip())]
        if typed:
            return _plain(value)
        if target in NUMBERS:
            return float(text) if text is not None and _NUMBER.fullmatch(text) else text
        if target == "hidden":
            return _TRUTH.get((text or "").lower(), text)
        if target in OBJECTS:
            try:
                return orjson.loads(text or "")
            except orjson.JSONDecodeError:
                raise InputError("is not JSON", target) from None
        return text


def _kinds(text: str) -> frozenset[str]:
    """What a text may be read as."""
    fits = {
        "int": _INTEGER.fullmatch(text) is not None,
        "float": _DECIMAL.fullmatch(text) is not None,
        "bool": text.lower() in ("true", "false"),
    }
    return frozenset(kind for kind, does in fits.items() if does)


def _entries(options: Iterable[str]) -> list[str]:
    return [part for option in options for entry in option.split(",") if (part := entry.strip())]


def _is_field(name: str, kind: str) -> bool:
    if name.startswith("vectors."):
        return kind == "items"
    return name in FIELDS[kind] or (name.startswith("attributes.") and kind != "events")


def _check_field(name: str, kinds: tuple[str, ...], entry: str) -> None:
    if not any(_is_field(name, kind) for kind in kinds):
        known = sorted(set().union(*(FIELDS[kind] for kind in kinds)))
        raise InputError(f"{entry!r} names no field of {' or '.join(kinds)}: {', '.join(known)}", "--map")


def _rate(record: dict[str, Any]) -> None:
    """A filled rating column makes the event a rating."""
    rating = record.pop(RATING, None)
    if rating is None:
        return
    if record.get("type", RATING) != RATING:
        raise InputError(f"is filled, and the type is {record['type']!r}", RATING)
    if "value" in record:
        raise InputError("is filled, and so is value", RATING)
    record["type"], record["value"] = RATING, finite_number(rating, RATING)


def _plain(value: Any) -> Any:
    """A value of a typed table as JSON has it: times become ISO 8601, decimals numbers, missing parts go."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
