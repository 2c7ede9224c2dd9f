from __future__ import annotations

import json
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from cluster.config import Settings
from cluster.errors import ConfigError
from cluster.identity import Identity
from cluster.messages import Event, Item
from cluster.store import Store
from jobs import movielens
from jobs.demo import load_demo
from jobs.movielens import clean_title, dataset_folder, read_events, read_items, read_users
from tests.jobs.conftest import RunJob


@pytest.mark.parametrize(
    ("filed", "title", "other", "year"),
    [
        ("Toy Story", "Toy Story", None, None),
        ("Godfather, The", "The Godfather", None, None),
        ("Godfather: Part II, The", "The Godfather: Part II", None, None),
        ("American in Paris, An", "An American in Paris", None, None),
        ("Good, The Bad and The Ugly, The", "The Good, The Bad and The Ugly", None, None),
        ("Truth or Consequences, N.M.", "Truth or Consequences, N.M.", None, None),
        ("Bye Bye, Love", "Bye Bye, Love", None, None),
        ("Star Maker, The (Uomo delle stelle, L')", "The Star Maker", "L'Uomo delle stelle", None),
        ("Land Before Time III (1995)", "Land Before Time III", None, 1995),
        ("  Four   Rooms ", "Four Rooms", None, None),
        ("187", "187", None, None),
    ],
)
def test_titles_as_they_are_said(filed: str, title: str, other: str | None, year: int | None) -> None:
    assert clean_title(filed) == (title, other, year)


def test_the_whole_data_set() -> None:
    folder = dataset_folder()
    events, items, users = read_events(folder), read_items(folder, 1), read_users(folder, 1)
    assert (len(events), len(items), len(users)) == (movielens.N_EVENTS, movielens.N_ITEMS, movielens.N_USERS)
    assert len({event.event_id for event in events}) == len(events)
    assert {event.type for event in events} == {"rating"}
    assert Counter(event.value for event in events)[5.0] == 21_201
    assert all(first.timestamp_ms <= second.timestamp_ms for first, second in pairwise(events))
    assert {event.item_id for event in events} <= {item.item_id for item in items}
    assert {event.user_id for event in events} == {user.user_id for user in users}
    by_id = {item.item_id: item for item in items}
    assert by_id["50"].title == "Star Wars"
    assert by_id["127"].title == "The Godfather"
    assert by_id["1"].categories == ("Animation", "Children's", "Comedy")
    assert by_id["656"].categories == ("Crime", "Film-Noir", "Thriller")
    assert by_id["1412"].attributes["year"] == 1995
    assert (by_id["267"].title, by_id["267"].categories) == ("", ())
    assert [item.item_id for item in items if "year" not in item.attributes] == ["267"]
    assert not any(item.title.endswith((", The", ", A", ")")) for item in items)
    assert "recbole" not in sys.modules  # it is read, never imported
    assert users[0].attributes == {"age": 24, "gender": "M", "occupation": "technician"}


def test_loaded_once(store: Store, settings: Settings) -> None:
    first = load_demo(store, settings)
    assert first == {"already": False, "loaded": {"users": 943, "items": 1682, "events": 100_000}}
    store.retention.erase("default", "196")
    assert load_demo(store, settings) == {"already": True, "loaded": {}}
    assert store.events.of_users("default", ["196"], 10)["196"] == []


def test_a_load_that_was_cut_off_is_finished(store: Store, settings: Settings) -> None:
    store.items.put(read_items(dataset_folder(), 1))  # the items go in before the events
    store.events.append(read_events(dataset_folder())[:30_000])
    assert load_demo(store, settings)["loaded"]["events"] == 70_000
    assert store.events.count("default") == 100_000


@pytest.mark.parametrize("own", ["items", "events", "both"])
def test_never_among_own_data(store: Store, settings: Settings, own: str) -> None:
    if own != "events":
        store.items.put([Item("1", "Frankenstein"), Item("gutenberg-345", "Dracula")])
    if own != "items":
        store.events.append([Event("e1", "ann", "gutenberg-345", "view", 1)])
    assert load_demo(store, settings) == {"already": True, "loaded": {}}
    assert store.items.count("default") == (0 if own == "events" else 2)
    assert store.events.count("default") == (0 if own == "items" else 1)


def test_pseudonyms(store: Store, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", pseudonymise_key="k")  # type: ignore[arg-type]
    load_demo(store, settings)
    assert load_demo(store, settings)["already"] is True
    known = Identity(["k"]).stored("default", "196")
    assert store.events.of_users("default", [known, "196"], 1)["196"] == []
    assert len(store.events.of_users("default", [known], 1)[known]) == 1


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movielens.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="recbole"):
        dataset_folder()


def test_as_a_job(run_job: RunJob, tmp_path: Path) -> None:
    for already in (False, True):
        ran = run_job("jobs.demo", "--no-model")
        assert (ran.code, ran.result["already"]) == (0, already)
        assert ran.result["stages_s"]["demo data"] < 20
    assert run_job("jobs.export", "--events", "e.jsonl").result["events"]["rows"] == 100_000
    first = (tmp_path / "e.jsonl").read_text().partition("\n")[0]
    assert json.loads(first)["event_id"].startswith("ml100k-")
