"""Pins, boosts, buries and caps in real lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.messages import ActiveRule, RankedItem, RankQuery, SessionView
from graph.bundle import save_model
from graph.model import Model
from graph.ranking import Ranker
from tests.graph.conftest import LOUD, QUIET
from tests.graph.test_ranking import view

SESSION = view((LOUD[0], "like"), (LOUD[4], "like"))
BASE = RankQuery(SESSION, n=10)


def pin(item: str, place: int, name: str = "p") -> ActiveRule:
    return ActiveRule(name, "pin", (frozenset([item]),), number=place)


def shift(kind: str, items: list[str], factor: float, name: str = "s") -> ActiveRule:
    return ActiveRule(name, kind, (frozenset(items),), factor=factor)


def cap(most: int, *sets: list[str], name: str = "c") -> ActiveRule:
    return ActiveRule(name, "cap", tuple(map(frozenset, sets)), number=most)


def entries(ranker: Ranker, query: RankQuery) -> list[RankedItem]:
    return list(ranker.rank([query])[0].items)


def ids(ranker: Ranker, query: RankQuery) -> list[str]:
    return [entry.item_id for entry in entries(ranker, query)]


def test_a_pin_stands_where_it_was_put_and_the_rest_moves_down(ranker: Ranker) -> None:
    plain = ids(ranker, BASE)
    found = entries(ranker, replace(BASE, rules=(pin(QUIET[9], 3), pin(QUIET[8], 10, "q"))))
    assert [entry.item_id for entry in found] == [*plain[:2], QUIET[9], *plain[2:8], QUIET[8]]
    assert found[2].rules == (("p", "pin"),) and found[9].rules == (("q", "pin"),)
    assert not any(entry.rules for entry in found if entry.item_id in LOUD)


def test_a_pin_obeys_what_may_be_shown(ranker: Ranker) -> None:
    pins = (pin(QUIET[9], 1),)
    for query in (
        replace(BASE, excluded=frozenset([QUIET[9]])),
        replace(BASE, allowed=frozenset(LOUD)),
        replace(BASE, view=view((LOUD[0], "like"), (QUIET[9], "click"))),
    ):
        assert ids(ranker, replace(query, rules=pins)) == ids(ranker, query)
    assert QUIET[9] not in ids(ranker.without([QUIET[9]]), replace(BASE, rules=pins))
    assert ids(ranker, replace(BASE, rules=(pin("nobody knows this", 1), pin(QUIET[9], 11)))) == ids(ranker, BASE)


def test_of_two_pins_to_a_place_the_first_has_it(ranker: Ranker) -> None:
    found = ids(ranker, replace(BASE, rules=(pin(QUIET[9], 1), pin(QUIET[8], 1), pin(QUIET[9], 2))))
    assert found[0] == QUIET[9] and QUIET[8] not in found and found.count(QUIET[9]) == 1


def test_more_pins_than_places(ranker: Ranker) -> None:
    rules = tuple(pin(item, place) for place, item in enumerate(QUIET[:5], 1))
    assert ids(ranker, replace(BASE, n=3, rules=rules)) == QUIET[:3]


@pytest.mark.parametrize("session", [SESSION, SessionView(None)])
@pytest.mark.parametrize(("kind", "sign"), [("boost", 1.0), ("bury", -1.0)])
def test_a_factor_moves_scores_by_its_logarithm_and_reasons_add_up(
    ranker: Ranker, session: SessionView, kind: str, sign: float
) -> None:
    query = RankQuery(session, n=500)
    before = {entry.item_id: entry.score for entry in entries(ranker, query)}
    rules = (shift(kind, [*QUIET[:15], "unknown"], 20.0), shift("boost", QUIET[10:], 2.0, "t"))
    for entry in entries(ranker, replace(query, rules=rules)):
        expected = before[entry.item_id]
        named = []
        if entry.item_id in QUIET[:15]:
            expected += sign * np.log(20.0)
            named.append(("s", kind))
        if entry.item_id in QUIET[10:]:
            expected += np.log(2.0)
            named.append(("t", "boost"))
        assert entry.score == pytest.approx(expected, abs=1e-5)
        assert list(entry.rules) == named
        told = {reason.feature: reason.weight for reason in entry.reasons if reason.kind == "rule"}
        weights = {"s": sign * np.log(20.0), "t": np.log(2.0)}
        assert told == {name: pytest.approx(weights[name]) for name, _ in named}
        assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)


def test_a_boost_brings_up_and_a_bury_down(ranker: Ranker) -> None:
    assert not set(ids(ranker, BASE)) & set(QUIET[:5])
    assert set(QUIET[:5]) <= set(ids(ranker, replace(BASE, rules=(shift("boost", QUIET[:5], 1e6),))))
    assert not set(LOUD) & set(ids(ranker, replace(BASE, rules=(shift("bury", LOUD, 1e6),))))


@pytest.mark.parametrize("diversity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("explore", [0.0, 0.5])
def test_caps_hold_whatever_else_is_asked_for(ranker: Ranker, diversity: float, explore: float) -> None:
    query = replace(
        BASE, diversity=diversity, explore=explore, seed=5, rules=(cap(3, LOUD), cap(1, QUIET[:10], QUIET[10:]))
    )
    found = entries(ranker, query)
    # Three of one and one each of two others: that is all that the caps allow.
    listed = [entry.item_id for entry in found]
    assert len(listed) == 5
    assert sum(item in LOUD for item in listed) == 3
    assert sum(item in QUIET[:10] for item in listed) == 1
    assert all(("c", "cap") in entry.rules for entry in found)


def test_pins_count_for_caps_but_are_not_bound_by_them(ranker: Ranker) -> None:
    rules = (cap(2, LOUD), pin(LOUD[20], 1, "a"), pin(LOUD[21], 2, "b"), pin(LOUD[22], 3, "d"))
    listed = ids(ranker, replace(BASE, rules=rules))
    assert listed[:3] == [LOUD[20], LOUD[21], LOUD[22]]
    assert len(listed) == 10 and not set(listed[3:]) & set(LOUD)


def test_a_cap_of_none_hides(ranker: Ranker) -> None:
    assert not set(ids(ranker, replace(BASE, n=60, rules=(cap(0, LOUD),)))) & set(LOUD)


def test_rules_of_the_tenant_count_where_they_are_asked_for(ranker: Ranker) -> None:
    steered = ranker.steered([pin(QUIET[9], 1, "tenant")])
    assert ids(steered, BASE) == ids(ranker, BASE)
    found = entries(steered, replace(BASE, steered=True, rules=(pin(QUIET[8], 1, "mine"), pin(QUIET[7], 2, "mine"))))
    assert [entry.item_id for entry in found[:2]] == [QUIET[9], QUIET[7]]
    assert [entry.rules for entry in found[:2]] == [(("tenant", "pin"),), (("mine", "pin"),)]
    mixed = steered.rank([replace(BASE, steered=True), BASE, replace(BASE, steered=True, diversity=0.5)])
    assert [found.items[0].item_id == QUIET[9] for found in mixed] == [True, False, True]
    assert [entry.item_id for entry in mixed[1].items] == ids(ranker, BASE)


@pytest.fixture
def retrieving(model: Model, tmp_path: Path) -> Ranker:
    """The same version with candidates from an index, few enough that rules must bring theirs along."""
    serving = model.config.serving.model_copy(update={"exhaustive_items": 1, "retrieve": 10})
    save_model(replace(model, config=model.config.model_copy(update={"serving": serving})), tmp_path / "version")
    return Ranker.load(tmp_path / "version")


def test_rules_hold_where_candidates_are_retrieved(
    retrieving: Ranker, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert retrieving._retriever is not None
    retrieving._retriever._popular = retrieving._retriever._popular[:5]
    assert QUIET[28] not in ids(retrieving, replace(BASE, n=60))
    rules = (pin(QUIET[28], 2), shift("boost", QUIET[20:26], 1e6, "up"), cap(2, LOUD))
    found = entries(retrieving, replace(BASE, n=9, rules=rules))
    assert [entry.item_id for entry in found] == ids(ranker, replace(BASE, n=9, rules=rules))
    assert found[1].item_id == QUIET[28] and set(QUIET[20:26]) <= {entry.item_id for entry in found}
    assert sum(entry.item_id in LOUD for entry in found) == 2
    monkeypatch.setattr("graph.steering.BOOSTED", 2)
    kept = {
        entry.item_id
        for entry in entries(retrieving, replace(BASE, n=40, rules=rules))
        if entry.item_id in QUIET[20:26]
    }
    assert len(kept) >= 2
    for query in (replace(BASE, diversity=0.4), replace(BASE, explore=0.4, seed=1)):
        entries_ = entries(retrieving, query)
        assert len({entry.item_id for entry in entries_}) == len(entries_) > 0
        for entry in entries_:
            assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)
