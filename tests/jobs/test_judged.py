"""An outside judge's lists are as long as they can be, also of items that are nearly the same."""

from __future__ import annotations

import numpy as np

from cluster.messages import Item, SessionView
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.weights import EventWeights
from jobs.evaluation_judged import Task

CONFIG = GraphConfig.model_validate(
    {
        "encoder": {"dim": 8, "epochs": 5, "threads": 1},
        "factors": {"dim": 4, "rounds": 2},
        "content": {"text_dim": 8, "encoder": "none"},
        "combine": {"steps": 20},
    }
)


def test_a_list_is_filled_with_twins_after_all_others() -> None:
    rng = np.random.default_rng(0)
    users = [f"u{user}" for user in range(40) for _ in range(6)]
    chosen = [f"i{item}" for _ in range(40) for item in rng.permutation(12)[:6]]
    weights = EventWeights({"view": 1.0}, 1.0, (1.0, 5.0), CONFIG.events)
    kinds, times = ["view"] * len(users), [1_000 * (place % 6 + 1) for place in range(len(users))]
    train = Interactions.from_columns(users, chosen, weights, kinds, [None] * len(users), times)
    items = {f"i{n}": Item(f"i{n}", title=f"Title {n // 3}", attributes={"year": 2000}) for n in range(12)}
    task = Task(train, [SessionView("somebody"), SessionView("else")], frozenset(items), items, weights)
    lists = task.lists(CONFIG, {}, 10, "auto", None)
    for found in lists.values():
        assert len(set(found)) == len(found) == 10
        assert len({items[item].title for item in found[:4]}) == 4  # one of each, then the others
    assert [len(found) for found in task.lists(CONFIG, {}, 50, "auto", None).values()] == [12, 12]
