"""Near duplicates, diversity and what it costs, through real lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

import graph.traits
from cluster.messages import Item, RankQuery
from graph.bundle import load_model, save_model
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.metrics import coverage, ndcg
from graph.model import Model
from graph.ranking import Ranker
from graph.traits import Traits, twin_key
from graph.weights import EventWeights
from tests.graph.conftest import LOUD, QUIET
from tests.graph.test_ranking import ids, view

SESSION = view((LOUD[0], "like"), (LOUD[4], "like"))


def with_twins(model: Model, *groups: list[str]) -> Model:
    """The same model in which the items of each group are nearly the same."""
    assert model.traits is not None
    twins = model.traits.twins.copy()
    for number, group in enumerate(groups, 1):
        twins[[model.item_ids.index(item) for item in group]] = number
    return replace(model, traits=replace(model.traits, twins=twins))


class TestTwins:
    def test_titles_and_years_make_twins(self) -> None:
        film = Item("1", title="Chasing  Amy", attributes={"year": 1997}, categories=("Drama",))
        assert twin_key(film) == twin_key(replace(film, item_id="2", title="chasing amy", categories=()))
        assert twin_key(film) != twin_key(replace(film, attributes={"year": 1998}))
        song = Item("3", title="Hello", categories=("Pop",))
        assert twin_key(song) == twin_key(replace(song, item_id="4"))
        assert len({twin_key(song), twin_key(replace(song, categories=("Soul",))), twin_key(film)}) == 3
        assert twin_key(song) != twin_key(replace(song, description="from the other side"))
        assert twin_key(Item("5")) == twin_key(Item("6", categories=("Pop",))) == twin_key(None) == 0

    def test_texts_make_twins_of_items_with_titles(self) -> None:
        items = [Item(str(n), title=f"T{n}" if n < 4 else "") for n in range(6)]
        text = np.array([[1, 0], [0.99, 0.05], [0, 1], [0.97, 0.12], [1, 0], [1, 0]], dtype=np.float32)
        twins = Traits.of(items, text, 0.99).twins
        assert twins[0] == twins[1] == twins[3] != twins[2]  # by way of 1, which is like both
        assert twins[4] == twins[5] == 0
        groups = Traits.of(items, text, 0.99).groups()
        assert groups is not None and (groups != 0).tolist() == [True, True, False, True, False, False]
        assert Traits.of(items, text, 1.0).groups() is None
        assert Traits.of([]).groups() is None

    def test_a_title_of_many_is_no_name(self) -> None:
        shirts = [Item(str(n), title="Shirt") for n in range(graph.traits.MAX_TWINS + 1)]
        assert Traits.of(shirts).groups() is None
        assert Traits.of(shirts[1:]).groups() is not None

    @pytest.mark.parametrize("diversity", [0.0, 0.3])
    def test_a_list_shows_one_of_them_and_is_as_long_as_ever(
        self, model: Model, diversity: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(graph.traits, "MAX_TWINS", 30)
        query = RankQuery(SESSION, n=10, diversity=diversity)
        plain = ids(Ranker(model, "v"), query)
        for group in (plain[1:4], plain, LOUD):
            found = ids(Ranker(with_twins(model, group), "v"), query)
            assert len(set(found)) == 10
            assert sum(item in group for item in found) == 1
            assert found[: 2 if group != plain else 1] == plain[: 2 if group != plain else 1] or group is LOUD

    def test_a_new_item_is_a_twin_of_an_old_one(self, ranker: Ranker) -> None:
        new = [Item("again", title="NOISE 7", categories=("Rock",), attributes={"year": 1992})]
        wider = ranker.with_items(new)
        query = RankQuery(SESSION, n=70)
        assert {"again", LOUD[7]} & set(ids(wider, query)) != {"again", LOUD[7]}
        assert len(ids(wider, query)) == len(ids(ranker, query))

    def test_explored_items_have_none_beside_them(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(graph.traits, "MAX_TWINS", 30)
        ranker = Ranker(with_twins(model, LOUD, QUIET), "v")
        for seed in range(20):
            assert len(ids(ranker, RankQuery(SESSION, n=10, explore=0.8, seed=seed))) == 2


class TestDiversity:
    def test_raised_by_what_it_lacks_every_item_stands_in_some_list(self, model: Model, data: Interactions) -> None:
        assert model.reach is not None and (model.reach >= 0).all()
        ranker = Ranker(model, "v")
        sessions = ranker.sessions([data.view(user) for user in range(data.shape[0])])
        scores = model.scores(sessions)
        scores[sessions.query, sessions.item] = -np.inf
        last = np.sort(scores, axis=1)[:, -10]
        for item in np.flatnonzero(model.reach[0] > 0):
            assert (scores[:, item] + model.reach[0, item] >= last - 1e-3).sum() >= 2
            assert (scores[:, item] + model.reach[0, item] > last + 1e-3).sum() <= 1 + (scores[:, item] >= last).sum()

    def test_it_covers_more_of_the_catalogue_for_little(self, model: Model, data: Interactions) -> None:
        ranker = Ranker(model, "v")
        number = {item: place for place, item in enumerate(model.item_ids)}

        def lists(diversity: float, seen: bool) -> np.ndarray:
            queries = [RankQuery(data.view(u), n=10, diversity=diversity, include_seen=seen) for u in range(120)]
            return np.array([[number[entry.item_id] for entry in one.items] for one in ranker.rank(queries)])

        assert coverage(lists(0.3, seen=False), 60) >= coverage(lists(0.0, seen=False), 60)
        met = sp.csr_matrix(data.pairs.positive)
        plain, some, much = (ndcg(lists(diversity, seen=True), met) for diversity in (0.0, 0.3, 0.9))
        assert 0.9 * plain < some and much < some

    def test_a_mixed_taste_gets_a_mixed_list(self, ranker: Ranker) -> None:
        session = view(*((item, "like") for item in (*LOUD[:6], *QUIET[:2])))

        def share(diversity: float) -> float:
            return float(
                np.mean([item in QUIET for item in ids(ranker, RankQuery(session, n=12, diversity=diversity))])
            )

        assert abs(share(0.4) - 0.25) <= abs(share(0.0) - 0.25)

    def test_the_scores_are_the_same_and_reasons_add_up(self, ranker: Ranker) -> None:
        plain = {e.item_id: e.score for e in ranker.rank([RankQuery(SESSION, n=500)])[0].items}
        for entry in ranker.rank([RankQuery(SESSION, n=20, diversity=0.7)])[0].items:
            assert entry.score == pytest.approx(plain[entry.item_id], abs=1e-5)
            assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)


def test_what_choosing_reads_is_in_the_bundle(model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    save_model(with_twins(model, LOUD[:3]), folder)
    loaded = load_model(folder)
    assert loaded.traits is not None and model.traits is not None
    assert loaded.traits.names == ("Rock", "Ambient")
    assert (loaded.traits.categories != model.traits.categories).nnz == 0
    assert loaded.reach is not None and model.reach is not None
    assert loaded.reach.shape == (2, 60) and np.array_equal(loaded.reach, model.reach)
    for diversity in (0.0, 0.3, 1.0):
        query = RankQuery(SESSION, n=10, diversity=diversity)
        assert ids(Ranker(loaded, "v"), query) == ids(Ranker(with_twins(model, LOUD[:3]), "v"), query)


def test_without_anything_known_of_items_diversity_still_works(
    data: Interactions, config: GraphConfig, weights: EventWeights
) -> None:
    bare = fit(data, Content.of(data.item_ids, {}, config), weights, config)
    assert len(set(ids(Ranker(bare, "v"), RankQuery(SESSION, n=10, diversity=0.5)))) == 10


def test_items_that_nobody_met_are_fresh_and_not_popular(ranker: Ranker) -> None:
    wider = ranker.with_items([Item("new", title="Noise of today", categories=("Rock",))])
    for session in (SESSION, view()):
        (entry,) = wider.rank([RankQuery(session, n=1, allowed=frozenset(["new"]))])[0].items
        kinds = {reason.kind for reason in entry.reasons}
        assert "fresh" in kinds and "popular" not in kinds
        assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)
