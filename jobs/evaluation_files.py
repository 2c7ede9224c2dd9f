"""Tables of events and items as people have them, read for `jobs.evaluate`. What is wrong is named, file and line."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cluster.errors import InputError
from cluster.messages import MAX_ID_CHARS, Item
from graph.dataset import Interactions
from graph.weights import EventWeights
from jobs.sources import Table, open_table

USER = ("user", "user_id")
ITEM = ("item", "item_id")
VALUE = ("rating", "value", "score")
TIME = ("ts", "timestamp", "timestamp_ms", "time")
TYPE = ("type", "event_type")
MAX_TIME = 2.0**62
"""Greater numbers are no times; those in nanoseconds are smaller."""


@dataclass(frozen=True)
class Columns:
    """Events as columns of equal length; `values` and `times_ms` are None where the file has none."""

    users: list[str]
    items: list[str]
    values: list[float | None] | None
    times_ms: list[int] | None
    types: list[str] | None

    def interactions(self, weights: EventWeights, catalogue: tuple[str, ...] = ()) -> Interactions:
        """The same as interactions."""
        return Interactions.from_columns(
            self.users, self.items, weights, self.types, self.values, self.times_ms, catalogue
        )


def read_columns(path: Path, may_be_empty: bool = False) -> Columns:
    """A table of events.

    Raises:
        InputError: with the line of what is wrong. A file without any line is wrong too, unless it `may_be_empty`.
    """
    users: list[str] = []
    items: list[str] = []
    values: list[float | None] = []
    times: list[int] = []
    types: list[str] = []
    if may_be_empty and path.exists() and not path.stat().st_size:
        return Columns(users, items, None, None, None)
    with _opened(path) as table:
        names = None if table.columns is None else _event_columns(table, table.columns)
        for row in table.rows:
            if row.fault:
                raise InputError(row.fault, table.place(row.line))
            if names is None or table.columns is None:
                names = _event_columns(table, tuple(row.values), row.line)
            users.append(_id(row.values.get(names["user"] or ""), table, row.line, "user"))
            items.append(_id(row.values.get(names["item"] or ""), table, row.line, "item"))
            if names["value"] or values:
                values += [None] * (len(users) - 1 - len(values))
                values.append(_number(row.values.get(names["value"] or ""), table.place(row.line, names["value"])))
            if names["time"] or times:
                times += [0] * (len(users) - 1 - len(times))
                times.append(_time_ms(row.values.get(names["time"] or ""), table.place(row.line, names["time"])))
            if names["type"] or types:
                types += ["click"] * (len(users) - 1 - len(types))
                types.append(str(row.values.get(names["type"] or "") or "click"))
    rated = any(value is not None for value in values)
    timed = any(times)
    return Columns(users, items, values if rated else None, times if timed else None, types or None)


def rated_as(weights: EventWeights, columns: Columns) -> EventWeights:
    """The same weights with the scale that the ratings of a file have; a file does not say which one it is.

    The scale goes up to the value below which 99% lie, so that play counts, say, do not all count as the lowest rating.
    """
    known = [value for value in columns.values or () if value is not None]
    if not known:
        return weights
    low, high = float(min(known)), float(np.quantile(known, 0.99, method="higher"))
    return replace(weights, rating_scale=(low, high)) if high > low else weights


def read_catalogue(path: Path) -> dict[str, Item]:
    """A table of items: `item`, and any of title, year, categories, tags, description; other columns are attributes.

    Raises:
        InputError: with the line of what is wrong. An item that comes twice is what its last line says.
    """
    catalogue: dict[str, Item] = {}
    with _opened(path) as table:
        if table.columns is not None and _named(table.columns, ITEM) is None:
            raise InputError(f"there is no column 'item' among {', '.join(table.columns)}", table.place(1))
        for row in table.rows:
            if row.fault:
                raise InputError(row.fault, table.place(row.line))
            values = {name: value for name, value in row.values.items() if value not in (None, "")}
            key = _named(tuple(values), ITEM)
            item_id = _id(values.pop(key) if key else None, table, row.line, "item")
            catalogue[item_id] = Item(
                item_id,
                title=str(values.pop("title", "")),
                description=str(values.pop("description", "")),
                categories=_words(values.pop("categories", values.pop("genres", ""))),
                tags=_words(values.pop("tags", "")),
                attributes=values,
            )
    return catalogue


def _opened(path: Path) -> AbstractContextManager[Table]:
    """The table; tab-separated where the name does not say what it is."""
    return open_table(str(path), format=None if _has_known_end(path) else "tsv")


def _event_columns(table: Table, present: tuple[str, ...], line: int = 1) -> dict[str, str | None]:
    names = {
        "user": _named(present, USER), "item": _named(present, ITEM), "value": _named(present, VALUE),
        "time": _named(present, TIME), "type": _named(present, TYPE),
    }  # fmt: skip
    for needed in ("user", "item"):
        if names[needed] is None:
            raise InputError(f"there is no column {needed!r} among {', '.join(present)}", table.place(line))
    return names


def _id(value: Any, table: Table, line: int, column: str) -> str:
    found = "" if value is None else str(value)
    if not 1 <= len(found) <= MAX_ID_CHARS:
        what = f"has {len(found)} characters" if found else "is empty"
        raise InputError(f"the {column} {what}; an id has 1 to {MAX_ID_CHARS}", table.place(line, column))
    return found


def _has_known_end(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".pq", ".gz")


def _named(present: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in present), None)


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(str(part) for part in value)
    text = str(value)
    return tuple(part.strip() for part in text.split("|") if part.strip()) if "|" in text else tuple(text.split())


def _number(value: Any, place: str) -> float | None:
    if value in (None, ""):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{value!r} is no number", place) from None
    if not math.isfinite(number):
        raise InputError(f"{value!r} is not finite", place)
    return number


def _time_ms(value: Any, place: str) -> int:
    """Unix seconds, Unix milliseconds (numbers beyond 1e11), or an ISO date; nothing is the beginning of time."""
    if value in (None, ""):
        return 0
    try:
        number = float(value)
    except (TypeError, ValueError):
        try:
            moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            raise InputError(f"{value!r} is no time", place) from None
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if not abs(number) <= MAX_TIME:
        raise InputError(f"{value!r} is no time", place)
    return round(number if abs(number) > 1e11 else number * 1000)
