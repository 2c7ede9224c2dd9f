"""Exploration: what is logged as a propensity is how often an item is really shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from cluster.messages import Item, RankQuery, SessionView
from graph.bundle import save_model
from graph.explore import FLOOR, draw, inclusion, systematic
from graph.fit import Content
from graph.model import Model
from graph.ranking import Ranker
from tests.graph.conftest import LOUD
from tests.graph.test_ranking import view

DRAWS = 2_000
NEW = Item("new", title="Noise of today", categories=("Rock",))


def within(shown: int, chance: float, draws: int = DRAWS) -> bool:
    """Whether a count is one that a binomial variable takes but once in a million times not."""
    low, high = binom.ppf([5e-7, 1 - 5e-7], draws, min(max(chance, 0.0), 1.0))
    return bool(low <= shown <= high)


@pytest.mark.parametrize("drawn", [0.3, 1.0, 2.7, 9.5])
def test_inclusion_adds_up_and_leaves_nobody_out(drawn: float) -> None:
    bounds = np.array([5.0, 4.0, 4.0, 0.0, -3.0, -30.0, 2.0, 2.0, 2.0, 1.0])
    chance = inclusion(bounds, drawn)
    assert chance.sum() == pytest.approx(drawn)
    assert (chance <= 1.0 + 1e-12).all() and (chance > 0.9 * FLOOR * drawn / len(bounds)).all()
    order = np.argsort(-bounds, kind="stable")
    assert (np.diff(chance[order]) <= 1e-12).all()


def test_systematic_sampling_has_the_chances_that_were_set() -> None:
    chance = np.array([1.0, 0.9, 0.5, 0.3, 0.2, 0.1])
    rng = np.random.default_rng(0)
    counts = np.zeros(6, dtype=int)
    for _ in range(DRAWS):
        places = systematic(chance, rng)
        assert len(places) == len(set(places.tolist())) == 3
        counts[places] += 1
    assert all(within(int(count), p) for count, p in zip(counts, chance, strict=True)), counts


def test_the_last_places_are_drawn_and_stand_apart() -> None:
    rng = np.random.default_rng(1)
    found = draw(10, np.zeros(5), 0.2, rng)
    assert sorted(found.order[found.order < 10].tolist()) == list(range(8))
    assert [place for place, entry in enumerate(found.order) if entry >= 10] == [2, 7]
    assert found.propensity[found.order < 10].tolist() == [1.0] * 8
    assert draw(10, np.zeros(0), 0.5, rng).order.tolist() == list(range(10))
    assert (draw(4, np.zeros(9), 1.0, rng).order >= 4).all()


@pytest.mark.parametrize("explore", [0.15, 0.4])
def test_logged_propensities_are_the_frequencies_of_display(ranker: Ranker, explore: float) -> None:
    session = view((LOUD[0], "like"), (LOUD[4], "like"))
    queries = [RankQuery(session, n=10, explore=explore, seed=seed, explain=False) for seed in range(DRAWS)]
    shown: dict[str, int] = {}
    logged: dict[str, float] = {}
    explored = 0
    for found in ranker.rank(queries):
        assert len({entry.item_id for entry in found.items}) == 10
        for entry in found.items:
            shown[entry.item_id] = shown.get(entry.item_id, 0) + 1
            assert logged.setdefault(entry.item_id, entry.propensity) == pytest.approx(entry.propensity)
            explored += entry.source == "explore"
    assert 0 < min(logged.values()) < 1 and max(logged.values()) == 1.0
    bad = {item: (shown[item], DRAWS * logged[item]) for item in shown if not within(shown[item], logged[item])}
    assert not bad
    assert explored / DRAWS == pytest.approx(10 * explore, abs=0.05)


def test_what_is_drawn_is_what_little_is_known_of_and_new_items_are(ranker: Ranker) -> None:
    wider = ranker.with_items([NEW])
    session = view((LOUD[0], "like"), (LOUD[4], "like"))
    middle = np.median(wider._popularity)
    new = 0
    for seed in range(50):
        entries = wider.rank([RankQuery(session, n=10, explore=0.5, seed=seed)])[0].items
        drawn = [entry for entry in entries if entry.source == "explore"]
        assert len(drawn) == 5
        for entry in drawn:
            assert wider._popularity[wider.items.index(entry.item_id)] <= middle
            bonus = [reason.weight for reason in entry.reasons if reason.kind == "explore"]
            assert len(bonus) == 1 and bonus[0] > 0
            new += entry.item_id == "new"
        for entry in entries:
            assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)
    assert new > 0


def test_what_was_seen_often_and_taken_up_by_nobody_loses_its_bonus(model: Model, tmp_path: Path) -> None:
    """After a refresh: of two items that as many people met, the one that lists showed is drawn for less."""
    content = Content(np.zeros((len(model.item_ids), 1), np.float32), None)
    assert content.with_impressions(model.item_ids, {"gone": 3}).impressions is None
    before = Ranker(model, "v").with_items([NEW])
    little = [item_id for item_id in model.item_ids if before._chooser.unknown[before.items.index(item_id)]]
    shown = content.with_impressions(model.item_ids, dict.fromkeys(little[::2], 9_999)).impressions
    assert shown is not None and shown.sum() == 9_999 * len(little[::2])
    save_model(replace(model, impressions=shown), tmp_path)
    after = Ranker.load(tmp_path).with_items([NEW])
    session = view((LOUD[0], "like"), (LOUD[4], "like"))
    bonus: dict[str, float] = {}
    drawn = dict.fromkeys(("before", "after"), 0)
    for name, ranker in (("before", before), ("after", after)):
        for seed in range(200):
            for entry in ranker.rank([RankQuery(session, n=10, explore=0.5, seed=seed)])[0].items:
                if entry.source == "explore":
                    drawn[name] += entry.item_id in little[::2]
                    part = sum(reason.weight for reason in entry.reasons if reason.kind == "explore")
                    met = before._popularity[before.items.index(entry.item_id)]
                    tries = met + (9_999 if name == "after" and entry.item_id in little[::2] else 0)
                    assert part == pytest.approx(1.0 / np.sqrt(1.0 + tries), rel=1e-5)
                    bonus[entry.item_id] = part
    assert min(bonus.values()) < 0.011 and bonus["new"] == 1.0
    assert drawn["after"] < drawn["before"]


def test_it_is_off_by_default_and_a_seed_repeats_it(ranker: Ranker) -> None:
    session = view((LOUD[0], "like"))
    query = RankQuery(session, n=10)
    assert all(entry.propensity == 1.0 for entry in ranker.rank([query])[0].items)
    one = replace(query, explore=0.5, seed=3)
    assert ranker.rank([one]) == ranker.rank([one])
    unseeded = replace(query, explore=0.5)
    lists = {tuple(e.item_id for e in found.items) for found in ranker.rank([unseeded] * 20)}
    assert len(lists) > 1


def test_a_stranger_and_a_short_list_explore_too(ranker: Ranker) -> None:
    for query in (
        RankQuery(SessionView(None), n=10, explore=0.3, seed=1),
        RankQuery(view((LOUD[0], "like")), n=10, explore=1.0, seed=1, allowed=frozenset(LOUD[:6])),
        RankQuery(view((LOUD[0], "like")), n=10, explore=1.0, seed=1, allowed=frozenset()),
    ):
        for entry in ranker.rank([query])[0].items:
            assert 0 < entry.propensity <= 1.0
            assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)
