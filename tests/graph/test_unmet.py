"""Sources are worth for new items what they were worth for items that were taken for new."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.sparse as sp

from cluster.messages import Item, RankQuery, SessionView
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.kernels import Kernel
from graph.likeness import LIKENESS, likeness_kernel
from graph.model import Bias, Gate, Model
from graph.ranking import Ranker
from graph.scoring import Scorer
from graph.unmet import SHARE_OF_FACTORS, learn_shares, tied
from graph.weights import EventWeights

RNG = np.random.default_rng(3)
PEOPLE, ITEMS, KINDS = 120, 200, 4


@dataclass(frozen=True, eq=False)
class Made:
    kernels: tuple[Kernel, ...]
    biases: tuple[Bias, ...]
    popularity: np.ndarray


def world() -> tuple[Interactions, np.ndarray]:
    """People who like one kind of items, and features that name the kinds."""
    kind = np.arange(ITEMS) % KINDS
    users, items = [], []
    for user in range(PEOPLE):
        own = np.flatnonzero(kind == user % KINDS)
        for item in RNG.permutation(own)[:20]:
            users.append(str(user))
            items.append(str(item))
    data = Interactions.from_columns(users, items, EventWeights(), catalogue=[str(n) for n in range(ITEMS)])
    of = np.array([int(name) % KINDS for name in data.item_ids])
    return data, np.eye(KINDS, dtype=np.float32)[of]


def test_what_carries_over_by_content_is_worth_more_than_what_does_not() -> None:
    data, facts = world()
    wrong = np.roll(facts, 1, axis=1)
    popularity = np.asarray(data.pairs.positive.sum(axis=0)).ravel()
    made = Made(
        (Kernel("kinds", source=facts, target=facts * 0.3), Kernel("wrong", source=facts, target=wrong * 0.5)),
        (Bias("popular", np.log1p(popularity).astype(np.float32)),),
        popularity,
    )
    gates = {name: Gate(0.1, still=0.2) for name in ("kinds", "wrong", "popular")}
    found = learn_shares(made, data, gates, facts, None, GraphConfig())
    assert found["kinds"].share > 2 * found["wrong"].share
    assert replace(found["kinds"], unmet=0.0) == gates["kinds"]


def test_too_few_items_or_sessions_teach_nothing() -> None:
    data, facts = world()
    few = data.take(data.user < 6)
    popularity = np.asarray(few.pairs.positive.sum(axis=0)).ravel()
    made = Made((Kernel("kinds", source=facts, target=facts),), (), popularity)
    assert learn_shares(made, few, {"kinds": Gate(0.5)}, facts, None, GraphConfig()) == {"kinds": Gate(0.5)}


def test_sources_that_are_computed_together_have_one_share() -> None:
    table, other = np.eye(3, dtype=np.float32), sp.eye(3, format="csr", dtype=np.float32)
    kernels = (
        Kernel("a", matrix=table), Kernel("b", source=table, target=table), Kernel("c", matrix=table * 2),
        Kernel("d", matrix=other, memory=4.0), Kernel("e", matrix=other, memory=15.0),
    )  # fmt: skip
    assert tied(kernels) == ["a", "b", "a", "d", "d"]


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_share_moves_items_about_the_mean_of_the_anchors(share: float) -> None:
    from graph.fresh import carried_rows

    values, weights = RNG.normal(size=(5, 2)), np.full((1, 5), 0.2)
    assert carried_rows(weights, values, share)[0] == pytest.approx(values.mean(axis=0))
    one = np.eye(5)[:1]
    expected = share * values[0] + (1 - share) * values.mean(axis=0)
    assert carried_rows(one, values, share)[0] == pytest.approx(expected)


def test_beside_a_factorisation_new_items_are_scored_by_their_likeness_too() -> None:
    data, facts = world()
    popularity = np.asarray(data.pairs.positive.sum(axis=0)).ravel()
    gate = Gate(0.1, slope=0.3, still=0.2)
    made = Made((Kernel("factors", source=facts, target=facts),), (), popularity)
    found = learn_shares(made, data, {"factors": gate}, facts, None, GraphConfig())
    assert found["factors"] == replace(gate, unmet=np.log(SHARE_OF_FACTORS))
    assert found[LIKENESS] == replace(gate, level=found[LIKENESS].level) and found[LIKENESS].level > -5


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
