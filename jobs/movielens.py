"""MovieLens-100K as RecBole's wheel ships it, made into Tailorbird's events, items and users.

The files are tables with typed headers (`user_id:token`). Titles are as librarians file them ("Godfather, The"); here
they become what people say. Source: F. M. Harper and J. A. Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015; the
data may be used, not redistributed, so nothing of it is in this repository.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError
from cluster.messages import DEFAULT_TENANT, Event, Item, User
from jobs.sources import open_table

N_EVENTS, N_ITEMS, N_USERS = 100_000, 1682, 943

_FOLDER = "dataset_example/ml-100k"
_ARTICLES = "The|An?|La|Les?|L'|Il|El|Los|Las|Das|Der|Die|Det|Den|O"
_FILED = re.compile(rf"(?P<rest>.+), (?P<article>{_ARTICLES})")
_OTHER = re.compile(r"(?P<title>.+?) \((?P<other>[^()]+)\)")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")
_UNKNOWN = "unkonwn"  # as the file spells it


def dataset_folder() -> Path:
    """Where the files are. The wheel is read as files: importing it would need packages of its own.

    Raises:
        ConfigError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("recbole")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / _FOLDER / "ml-100k.inter").is_file():
            return Path(folder) / _FOLDER
    raise ConfigError("the demo data needs the package recbole (pip install --no-deps recbole)")


def read_events(folder: Path, tenant: str = DEFAULT_TENANT) -> list[Event]:
    """100,000 ratings, in the order of time; equal times stay in the order of the file, whose rows number the ids."""
    events = [
        Event(
            event_id=f"ml100k-{number}",
            user_id=row["user_id"],
            item_id=row["item_id"],
            type="rating",
            value=float(row["rating"]),
            timestamp_ms=int(float(row["timestamp"])) * 1000,
            tenant=tenant,
        )
        for number, row in enumerate(_rows(folder / "ml-100k.inter"), start=1)
    ]
    return sorted(events, key=lambda event: event.timestamp_ms)


def read_items(folder: Path, updated_ms: int, tenant: str = DEFAULT_TENANT) -> list[Item]:
    """1,682 films: title, genres as categories, attributes `year` and, where there are two, `other_title`."""
    return [_item(row, updated_ms, tenant) for row in _rows(folder / "ml-100k.item")]


def read_users(folder: Path, updated_ms: int, tenant: str = DEFAULT_TENANT) -> list[User]:
    """943 people: attributes `age`, `gender` (F or M) and `occupation`. Postal codes are left out."""
    return [
        User(
            user_id=row["user_id"],
            attributes={"age": int(row["age"]), "gender": row["gender"], "occupation": row["occupation"]},
            updated_ms=updated_ms,
            tenant=tenant,
        )
        for row in _rows(folder / "ml-100k.user")
    ]


def clean_title(filed: str) -> tuple[str, str | None, int | None]:
    """A film's title as it is said, its other title, and a year that stands in the title where a remark would.

    "Umbrellas of Cherbourg, The (Parapluies de Cherbourg, Les)" is The Umbrellas of Cherbourg, also known as
    Les Parapluies de Cherbourg.
    """
    title = " ".join(filed.split())
    remark = _OTHER.fullmatch(title)
    if remark is None:
        return _said(title), None, None
    if _YEAR.fullmatch(remark["other"]):
        return _said(remark["title"]), None, int(remark["other"])
    return _said(remark["title"]), _said(remark["other"]), None


def _said(filed: str) -> str:
    match = _FILED.fullmatch(filed)
    if match is None:
        return filed
    return match["article"] + ("" if match["article"].endswith("'") else " ") + match["rest"]


def _item(row: dict[str, str], updated_ms: int, tenant: str) -> Item:
    title, other, year = clean_title(row["movie_title"])
    attributes: dict[str, Any] = {}
    if _YEAR.fullmatch(row["release_year"]):
        year = int(row["release_year"])
    if year is not None:
        attributes["year"] = year
    if other is not None:
        attributes["other_title"] = other
    return Item(
        item_id=row["item_id"],
        title="" if title == _UNKNOWN else title,
        categories=tuple(genre for genre in row["class"].split() if genre != "unknown"),
        attributes=attributes,
        updated_ms=updated_ms,
        tenant=tenant,
    )


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with open_table(str(file), format="tsv") as table:
        for row in table.rows:
            if row.fault is not None:
                raise ConfigError(f"{table.place(row.line)}: {row.fault}")
            yield {column.partition(":")[0]: value for column, value in row.values.items()}
