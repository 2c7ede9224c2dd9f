"""Items that nobody met stand among the others as far apart, and from such a level, as was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from cluster.messages import Item, RankQuery, SessionView
from graph.bundle import save_model
from graph.config import GraphConfig
from graph.content import ContentMap
from graph.dataset import Interactions
from graph.factors import fold_in_kernel
from graph.fit import Content, fit
from graph.kernels import Kernel
from graph.likeness import LIKENESS, likeness_kernel
from graph.model import NEW, UNMET, Bias, Gate, Model, context
from graph.ranking import Ranker
from graph.scoring import Scorer
from graph.splits import Split, random_split
from graph.unmet import LEVEL, NEVER, SPREAD, learn_unmet
from graph.weights import EventWeights

RNG = np.random.default_rng(3)
PEOPLE, ITEMS, KINDS = 120, 200, 4


@dataclass(frozen=True, eq=False)
class Made:
    kernels: tuple[Kernel, ...]
    biases: tuple[Bias, ...]
    popularity: np.ndarray
    content: ContentMap | None = None


def world() -> tuple[Interactions, np.ndarray]:
    """People who like one kind of items, some of them more than a few, and features that name the kinds."""
    kind = np.arange(ITEMS) % KINDS
    users, items = [], []
    for user in range(PEOPLE):
        own = np.flatnonzero(kind == user % KINDS)
        for item in RNG.permutation(own)[: 6 + user % 25]:
            users.append(str(user))
            items.append(str(item))
    data = Interactions.from_columns(users, items, EventWeights(), catalogue=[str(n) for n in range(ITEMS)])
    of = np.array([int(name) % KINDS for name in data.item_ids])
    return data, np.eye(KINDS, dtype=np.float32)[of]


def learnt(data: Interactions) -> tuple[dict[str, Gate], Made, Split]:
    """The gates that are learnt where two sources count alike, one much louder than the other."""
    split = random_split(data, seed=1)
    positive = split.train.pairs.positive
    popularity = np.asarray(positive.sum(axis=0)).ravel()
    factors = fold_in_kernel(positive, GraphConfig().factors, 0)
    popular = Bias("popular", 3 * np.log1p(popularity).astype(np.float32))
    made = Made((factors,), (popular,), popularity)
    gates = {"factors": Gate(0.1, still=0.2), "popular": Gate(0.3, slope=-0.2)}
    return learn_unmet([(made, split)], gates, world()[1], None, GraphConfig()), made, split


def test_new_items_differ_by_a_share_of_what_known_ones_do() -> None:
    data, _ = world()
    gates, made, split = learnt(data)
    assert gates["popular"].unmet == NEVER and gates["factors"].unmet == 0.0
    assert replace(gates["popular"], unmet=0.0) == Gate(0.3, slope=-0.2)
    seen = context(split.sessions())
    known = np.flatnonzero(made.popularity > 0)
    total = made.kernels[0].scores(split.sessions())[:, known] * gates["factors"](seen)[:, None]
    total += gates["popular"](seen)[:, None] * made.biases[0].values[known]
    assert np.median(gates[NEW](seen) / total.std(axis=1)) == pytest.approx(LEVEL, rel=0.1)
    apart = gates[UNMET](seen) * gates["factors"](seen) * made.kernels[0].scores(split.sessions())[:, known].std(axis=1)
    assert 0.8 * SPREAD < np.median(apart / total.std(axis=1)) < 3 * SPREAD  # content tells less apart than behaviour
    assert gates[LIKENESS](seen) / (gates[UNMET](seen) * gates["factors"](seen)) == pytest.approx(
        np.full(len(seen), np.exp(gates[LIKENESS].level - gates[UNMET].level - gates["factors"].level)), rel=1e-6
    )


def test_too_few_items_or_sessions_teach_nothing() -> None:
    data, facts = world()
    few = data.take(data.user < 6)
    split = random_split(few, seed=1)
    popularity = np.asarray(split.train.pairs.positive.sum(axis=0)).ravel()
    made = Made((Kernel("factors", source=facts, target=facts),), (), popularity)
    gates = {"factors": Gate(0.5)}
    assert learn_unmet([(made, split)], gates, facts, None, GraphConfig()) == gates
    assert learn_unmet([], gates, facts, None, GraphConfig()) == gates


@pytest.mark.parametrize("share", [1.0, 0.4, float(np.exp(NEVER))])
def test_a_share_moves_items_about_the_mean_of_the_anchors(share: float) -> None:
    from graph.fresh import carried_rows

    values, weights = RNG.normal(size=(5, 2)), np.full((1, 5), 0.2)
    assert carried_rows(weights, values, share)[0] == pytest.approx(values.mean(axis=0))
    one = np.eye(5)[:1]
    expected = share * values[0] + (1 - share) * values.mean(axis=0)
    assert carried_rows(one, values, share)[0] == pytest.approx(expected)


def with_gates(model: Model) -> Model:
    """The model as one with more items is: it says where new ones stand."""
    gates = {name: replace(gate, unmet=0.0 if name == "factors" else NEVER) for name, gate in model.gates.items()}
    gates |= {UNMET: Gate(1.2, slope=0.4), NEW: Gate(-0.3), LIKENESS: replace(model.gates["factors"], level=-0.5)}
    items = len(model.item_ids)
    return replace(
        model,
        kernels=(*model.kernels, likeness_kernel(items)),
        biases=(*model.biases, Bias(NEW, np.zeros(items, np.float32))),
        gates=gates,
    )


def test_reasons_of_new_items_add_up_and_say_that_they_are_new(model: Model) -> None:
    wider = Ranker(with_gates(model), "v").with_items(
        [
            Item("new loud", title="Noise 3", categories=("Rock",)),
            Item("new quiet", title="Hush", categories=("Ambient",)),
        ]
    )
    fan = SessionView(None, ("loud/1", "loud/4"), ("like", "click"), (None, None), (0, 1), frozenset())
    (found,) = wider.rank([RankQuery(fan, n=100, include_seen=True, explain=True)])
    places = [entry.item_id for entry in found.items]
    assert places.index("new loud") < places.index("new quiet")
    for entry in found.items:
        assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-4)
    loud = found.items[places.index("new loud")]
    assert any(reason.kind == "fresh" for reason in loud.reasons)
    assert any(reason.kind == "because_liked" and reason.item_id in fan.items for reason in loud.reasons)


def test_the_index_scores_new_items_and_those_that_nobody_met_as_without_it(model: Model, tmp_path: Path) -> None:
    serving = model.config.serving.model_copy(update={"exhaustive_items": 10})
    popularity = model.popularity.copy()
    popularity[[5, 9, 20]] = 0
    told = replace(
        with_gates(model), popularity=popularity, config=model.config.model_copy(update={"serving": serving})
    )
    save_model(told, tmp_path)
    new = [Item(f"new {n}", title=f"Noise {n}", categories=("Rock",)) for n in range(3)]
    view = SessionView(None, ("loud/1", "loud/4"), ("like", "click"), (None, None), (0, 1), frozenset())
    query = RankQuery(view, n=100, include_seen=True)
    lists = [
        {entry.item_id: entry.score for entry in ranker.with_items(new).rank([query])[0].items}
        for ranker in (Ranker(told, "v"), Ranker.load(tmp_path))
    ]
    assert {f"new {n}" for n in range(3)} < lists[1].keys() and len(lists[1]) > 50
    assert [lists[1][item_id] for item_id in lists[1]] == pytest.approx(
        [lists[0][item_id] for item_id in lists[1]], abs=1e-3
    )


def test_an_incremental_training_keeps_where_new_items_stand(
    model: Model, data: Interactions, content: Content, weights: EventWeights, config: GraphConfig
) -> None:
    told = with_gates(model)
    assert model.state is not None
    warm = replace(model.state, gates=told.gates, until_ms=5_000)
    again = fit(data, content, weights, config, warm=warm)
    assert {name: again.gates[name] for name in (UNMET, NEW, LIKENESS, "factors")} == {
        name: told.gates[name] for name in (UNMET, NEW, LIKENESS, "factors")
    }
    assert {NEW} < {bias.name for bias in again.active_biases} and LIKENESS in {kernel.name for kernel in again.active}
    assert again.state is not None and again.state.gates == again.gates


def test_what_came_after_the_version_begins_above_what_nobody_met_before(model: Model) -> None:
    told = with_gates(model)
    wider = Ranker(told, "v").with_items([Item("new", title="Noise 3", categories=("Rock",))])
    view = SessionView(None, ("loud/1",), ("like",), (None,), (0,), frozenset())
    sessions = wider.sessions([view])
    lifted, plain = (
        wider._scorer,
        Scorer(replace(told, gates=dict(told.gates) | {NEW: Gate(-30.0)}), wider._scorer.fresh),
    )
    more = lifted.all_scores(lifted.read(sessions)) - plain.all_scores(plain.read(sessions))
    assert more[0, -1] == pytest.approx(np.exp(-0.3), abs=1e-4)
    assert np.abs(more[0, :-1]).max() < 1e-4


def test_likeness_says_nothing_of_items_that_somebody_met(model: Model) -> None:
    likeness = replace(
        model,
        kernels=(likeness_kernel(len(model.item_ids)),),
        gates={LIKENESS: Gate()},
        biases=(),
    )
    view = SessionView(None, model.item_ids[:2], ("like", "click"), (None, None), (0, 1), frozenset())
    scores = Scorer(likeness).all_scores(Scorer(likeness).read(Ranker(model, "v").sessions([view])))
    assert not scores.any()
    assert not likeness.scores(Ranker(model, "v").sessions([view])).any()
    like = Item("new", title="Noise 3", categories=("Rock",), attributes={"year": 1993})
    wider = Ranker(likeness, "v").with_items([like])
    (found,) = wider.rank([RankQuery(view, n=100, include_seen=True, explain=True)])
    assert found.items[0].item_id == "new"
    assert {reason.kind for reason in found.items[0].reasons} <= {"similar_text", "people_like_you"}
    assert sum(reason.weight for reason in found.items[0].reasons) == pytest.approx(found.items[0].score, abs=1e-4)
    assert found.items[0].score > 10 * abs(found.items[1].score)
