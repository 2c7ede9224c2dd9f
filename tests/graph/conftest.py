"""A small world: people who like it loud, people who like it quiet, and a few who like everything."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.messages import Item
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.model import Model
from graph.ranking import Ranker
from graph.weights import EventWeights

LOUD = [f"loud/{n}" for n in range(30)]
QUIET = [f"静-{n}" for n in range(30)]
WEIGHTS = {"like": 1.0, "click": 0.5, "dislike": -1.0, "rating": 1.0, "impression": 0.0}


@pytest.fixture(scope="session")
def config() -> GraphConfig:
    return GraphConfig.model_validate(
        {
            "encoder": {"dim": 16, "epochs": 40, "threads": 1},
            "item_item": {"ridge": 20.0},
            "factors": {"dim": 8, "rounds": 4, "ridge": 5.0},
            "content": {"text_dim": 8, "encoder": "none"},
            "combine": {"steps": 80},
        }
    )


@pytest.fixture(scope="session")
def weights(config: GraphConfig) -> EventWeights:
    return EventWeights(WEIGHTS, 0.3, (1.0, 5.0), config.events)


@pytest.fixture(scope="session")
def catalogue() -> dict[str, Item]:
    loud = [
        Item(i, title=f"Noise {n}", categories=("Rock",), attributes={"year": 1990 + n % 5}) for n, i in enumerate(LOUD)
    ]
    quiet = [
        Item(i, title=f"Hush {n}", categories=("Ambient",), attributes={"year": 1970 + n % 5})
        for n, i in enumerate(QUIET)
    ]
    return {item.item_id: item for item in loud + quiet}


@pytest.fixture(scope="session")
def data(weights: EventWeights) -> Interactions:
    rng = np.random.default_rng(3)
    users, items, types, values, times = [], [], [], [], []
    for user in range(120):
        taste = [LOUD, QUIET, LOUD + QUIET][0 if user < 55 else 1 if user < 110 else 2]
        # The first items of each taste are met by more people than the last ones.
        chance = 1.0 / (np.arange(len(taste)) % 30 + 5.0)
        for place, item in enumerate(rng.choice(taste, size=12, replace=False, p=chance / chance.sum())):
            users.append(f"user {user}")
            items.append(str(item))
            types.append(["like", "click", "rating"][place % 3])
            values.append(5.0 if place % 3 == 2 else None)
            times.append(1_000 * place)
    return Interactions.from_columns(users, items, weights, types, values, times, (*LOUD, *QUIET))


@pytest.fixture(scope="session")
def content(data: Interactions, catalogue: dict[str, Item], config: GraphConfig) -> Content:
    return Content.of(data.item_ids, catalogue, config)


@pytest.fixture(scope="session")
def model(data: Interactions, content: Content, weights: EventWeights, config: GraphConfig) -> Model:
    return fit(data, content, weights, config, meta={"version": "v1"})


@pytest.fixture(scope="session")
def ranker(model: Model) -> Ranker:
    return Ranker(model, "v1")
