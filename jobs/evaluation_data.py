"""Where `jobs.evaluate` gets its data: the store, the demo's wheel, tables of one's own, or a judge's files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cluster.config import Settings
from cluster.errors import InputError, TailorbirdError
from cluster.messages import Item, RankQuery, SessionView
from cluster.store import Store
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.ranking import Ranker
from graph.reporting import Report
from graph.weights import EventWeights
from jobs.movielens import dataset_folder, read_events, read_items
from jobs.sources import open_table

USER = ("user", "user_id")
ITEM = ("item", "item_id")
VALUE = ("rating", "value", "score")
TIME = ("ts", "timestamp", "timestamp_ms", "time")
TYPE = ("type", "event_type")


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


def dataset_of(
    data: str, events: Path | None, items: Path | None, settings: Settings, config: GraphConfig, weights: EventWeights
) -> tuple[str, Interactions, dict[str, Item]]:
    """A name for people, the events, and the catalogue."""
    if events is not None:
        catalogue = read_catalogue(items) if items else {}
        return str(events), read_columns(events).interactions(weights, tuple(catalogue)), catalogue
    if data not in ("auto", "store", "demo"):
        raise InputError(f"--data is {data!r}; it may be auto, store or demo")
    if data != "demo":
        stored = _from_store(settings, weights)
        if stored is not None and len(stored[0]):
            return "store", *stored
        if data == "store":
            raise InputError("the store holds no events")
    folder = dataset_folder()
    made = read_events(folder)
    catalogue = {item.item_id: item for item in read_items(folder, 0)}
    interactions = Interactions.from_columns(
        [event.user_id for event in made], [event.item_id for event in made], weights,
        [event.type for event in made], [event.value for event in made], [event.timestamp_ms for event in made],
        tuple(catalogue),
    )  # fmt: skip
    return "MovieLens-100K", interactions, catalogue


def _from_store(settings: Settings, weights: EventWeights) -> tuple[Interactions, dict[str, Item]] | None:
    try:
        store = Store.open(settings, readonly=True)
    except (TailorbirdError, OSError):
        return None
    with store:
        items: dict[str, Item] = {}
        after = ""
        while page := store.items.scan(settings.tenant, after_id=after, limit=10_000):
            items |= {item.item_id: item for item in page if not item.hidden}
            after = page[-1].item_id
        return Interactions.from_batches(store.events.arrow_batches(settings.tenant), weights, tuple(items)), items


def read_columns(path: Path) -> Columns:
    """A table of events. Raises InputError with the line of what is wrong."""
    users: list[str] = []
    items: list[str] = []
    values: list[float | None] = []
    times: list[int] = []
    types: list[str] = []
    with open_table(str(path), format=None if _has_known_end(path) else "tsv") as table:
        names: dict[str, str | None] | None = None
        for row in table.rows:
            if row.fault:
                raise InputError(row.fault, table.place(row.line))
            if names is None:
                present = tuple(table.columns or row.values)
                names = {
                    "user": _named(present, USER), "item": _named(present, ITEM), "value": _named(present, VALUE),
                    "time": _named(present, TIME), "type": _named(present, TYPE),
                }  # fmt: skip
                for needed in ("user", "item"):
                    if names[needed] is None:
                        raise InputError(f"there is no column {needed!r}", table.place(1))
            user, item = str(row.values.get(names["user"] or "") or ""), str(row.values.get(names["item"] or "") or "")
            if not user or not item:
                raise InputError("user or item is empty", table.place(row.line))
            users.append(user)
            items.append(item)
            if names["value"]:
                values.append(_number(row.values.get(names["value"]), table.place(row.line, names["value"])))
            if names["time"]:
                times.append(_time_ms(row.values.get(names["time"]), table.place(row.line, names["time"])))
            if names["type"]:
                types.append(str(row.values.get(names["type"]) or "click"))
    rated = any(value is not None for value in values)
    return Columns(users, items, values if rated else None, times or None, types or None)


def read_catalogue(path: Path) -> dict[str, Item]:
    """A table of items: `item`, and any of title, year, categories, tags, description; other columns are attributes."""
    catalogue: dict[str, Item] = {}
    with open_table(str(path), format=None if _has_known_end(path) else "tsv") as table:
        for row in table.rows:
            if row.fault:
                raise InputError(row.fault, table.place(row.line))
            values = {name: value for name, value in row.values.items() if value not in (None, "")}
            key = _named(tuple(values), ITEM)
            if key is None:
                raise InputError("there is no item id", table.place(row.line))
            item_id = str(values.pop(key))
            catalogue[item_id] = Item(
                item_id,
                title=str(values.pop("title", "")),
                description=str(values.pop("description", "")),
                categories=_words(values.pop("categories", values.pop("genres", ""))),
                tags=_words(values.pop("tags", "")),
                attributes=values,
            )
    return catalogue


@dataclass(frozen=True, eq=False)
class Task:
    """An outside judge's task."""

    train: Interactions
    views: list[SessionView]
    candidates: frozenset[str]
    items: dict[str, Item]
    timed: bool

    def random_share(self, held_out: str) -> float | None:
        """Which events are likely to be asked for: `random` ones, the `last` ones, or `auto`.

        Without times order means nothing, so it is random ones. For people of whom training knows nothing it is what
        they do next. For others the files do not say, and `auto` tunes for both.
        """
        if held_out != "auto":
            return {"random": 1.0, "last": None}[held_out]
        if not self.timed:
            return 1.0
        known = frozenset(self.train.user_ids)
        strangers = sum(view.user_id not in known for view in self.views)
        return None if strangers > len(self.views) / 2 else 0.7

    def lists(
        self,
        config: GraphConfig,
        weights: EventWeights,
        vectors: Mapping[str, np.ndarray],
        k: int,
        report: Report | None,
        random_share: float | None = None,
    ) -> dict[str, list[str]]:
        """Train, and rank the candidates for each user. `random_share` as in `graph.fit.fit`."""
        content = Content.of(self.train.item_ids, self.items, config, vectors)
        ranker = Ranker(fit(self.train, content, weights, config, report, random_share=random_share), "judged")
        queries = [RankQuery(view, n=k, allowed=self.candidates, explain=False) for view in self.views]
        found = ranker.rank(queries)
        return {
            str(view.user_id): [entry.item_id for entry in ranked.items]
            for view, ranked in zip(self.views, found, strict=True)
        }


def files_split(
    train: Path, visible: Path, users: Path, candidates: Path, items: Path | None, weights: EventWeights
) -> Task:
    """Read the files of a judge. Users without a visible event get an empty session."""
    wanted = _ids(users)
    ranked = _ids(candidates)
    catalogue = read_catalogue(items) if items else {}
    known = read_columns(visible).interactions(weights)
    number = {user: place for place, user in enumerate(known.user_ids)}
    views = [known.view(number[user]) if user in number else SessionView(user) for user in wanted]
    columns = read_columns(train)
    data = columns.interactions(weights, (*ranked, *catalogue))
    timed = columns.times_ms is not None and len(set(columns.times_ms)) > 1
    return Task(data, views, frozenset(ranked), catalogue, timed)


def write_run(path: Path, lists: Mapping[str, list[str]]) -> None:
    """user, item, rank from 1, tab-separated, without a header; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as out:
        for user, ranked in lists.items():
            for rank, item in enumerate(ranked, start=1):
                out.write(f"{user}\t{item}\t{rank}\n")
    part.replace(path)


def _ids(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", str(path)) from None
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


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
    if not math.isfinite(number):
        raise InputError(f"{value!r} is no time", place)
    return round(number if abs(number) > 1e11 else number * 1000)
