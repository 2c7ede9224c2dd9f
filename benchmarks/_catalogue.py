"""Synthetic models of large catalogues: what a refresh would publish for N items, made without training.

Items belong to topics; their vectors of behaviour are a topic's plus their own part, with a spectrum that falls as
that of learnt vectors does; popularity follows a power law. Vectors of the sources `graph`, `factors` and `text`
are different noisy views of the same items, and neighbour lists hold items of the same topic, more of them the more
an item was met.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from cluster.messages import SessionView
from graph.config import GraphConfig
from graph.factors import FoldInKernel
from graph.kernels import Kernel
from graph.model import Bias, Gate, Model
from graph.weights import EventWeights

DIM = 64
TOPICS = 500
NEIGHBOURS = 20
"""Neighbours per item in the mean, of each of the three neighbour sources."""


def synthetic_model(items: int, seed: int = 0, config: GraphConfig | None = None) -> Model:
    """All sources of a large catalogue: three of factors (graph, factors, text) and three of neighbours."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, DIM + 1, dtype=np.float32) ** -0.5
    topic = rng.integers(TOPICS, size=items)
    centres = rng.normal(size=(TOPICS, DIM)).astype(np.float32)

    def view(noise: float) -> np.ndarray:
        found = base + noise * rng.standard_normal((items, DIM), dtype=np.float32)
        found *= spectrum
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    base = centres[topic] + 0.7 * rng.standard_normal((items, DIM), dtype=np.float32)
    popularity = np.ceil(1e4 / (1.0 + rng.permutation(items)) ** 0.7).astype(np.float32)
    graph = view(0.2)
    size = (1.0 + 0.1 * np.log1p(popularity))[:, None]
    factors = view(0.4) * size
    text = view(0.7)
    tables = [_neighbours(topic, popularity, rng) for _ in range(3)]
    ground = factors[:: max(1, items // 50_000)]
    ground = (ground.T @ ground * (items / len(ground)) + 40.0 * np.eye(DIM, dtype=np.float32)).astype(np.float32)
    kernels = (
        Kernel("graph", source=view(0.2), target=graph * size),
        Kernel("item_item", matrix=tables[0]),
        FoldInKernel("factors", source=factors, target=factors, alpha=4.0, ground=ground),
        Kernel("next_1", matrix=tables[1], memory=4.0),
        Kernel("next_2", matrix=tables[1], memory=15.0),
        Kernel("near", matrix=tables[2]),
        Kernel("text", source=text, target=text, power=1.0, kind="similar_text"),
    )
    met = np.log1p(popularity)
    return Model(
        item_ids=tuple(f"item-{number}" for number in range(items)),
        kernels=kernels,
        biases=(Bias("popular", met),),
        gates={kernel.name: Gate() for kernel in kernels} | {"popular": Gate(level=-2.0, slope=-1.0)},
        vectors=graph,
        popularity=popularity,
        jitter=rng.random(items, dtype=np.float32),
        weights=EventWeights(),
        config=config or GraphConfig(),
        meta={"version": f"synthetic-{items}"},
    )


def synthetic_sessions(model: Model, count: int, events: int, seed: int = 1) -> list[SessionView]:
    """People who met items near some few of the catalogue's, as the neighbour lists have it."""
    rng = np.random.default_rng(seed)
    table = next(kernel.matrix for kernel in model.kernels if kernel.name == "item_item")
    views = []
    for number in range(count):
        chosen: list[int] = []
        while len(chosen) < events:
            start = int(rng.integers(len(model.item_ids)))
            near = table.indices[table.indptr[start] : table.indptr[start + 1]]  # type: ignore[union-attr]
            chosen = list(dict.fromkeys([*chosen, start, *near[: events // 4].tolist()]))
        items = tuple(model.item_ids[item] for item in chosen[:events])
        types = tuple(("click", "like", "view")[place % 3] for place in range(events))
        views.append(
            SessionView(f"user-{number}", items, types, (None,) * events, tuple(range(events)), frozenset(items))
        )
    return views


def _neighbours(topic: np.ndarray, popularity: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """(N, N): items of the same topic, with falling weights."""
    items = len(topic)
    share = np.sqrt(popularity)
    counts = np.minimum(rng.poisson(NEIGHBOURS * share / share.mean()), 200)
    by_topic = np.argsort(topic, kind="stable")
    starts = np.searchsorted(topic[by_topic], np.arange(TOPICS + 1))
    row = np.repeat(np.arange(items), counts)
    low, high = starts[topic[row]], starts[topic[row] + 1]
    column = by_topic[low + (rng.random(len(row)) * (high - low)).astype(np.int64)]
    value = rng.exponential(0.1, len(row)).astype(np.float32)
    matrix = sp.csr_matrix((value, (row, column)), shape=(items, items))
    matrix.sum_duplicates()
    return matrix
