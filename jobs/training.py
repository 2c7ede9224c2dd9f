"""Training as a Ray task, and the callables of the refresh's Ray Data steps (which may not live in `__main__`)."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content
from graph.model import Model
from graph.weights import EventWeights
from jobs.common import Progress

TRAIN_CPUS = 0.5
SHARES = {"tune": (0, 50), "combine": (50, 55), "train": (55, 100)}
"""Where each stage of training begins and ends, in per cent of the whole."""


def informative(table: pa.Table, silent: tuple[str, ...]) -> pa.Table:
    """The events whose type tells of anybody's taste."""
    return table.filter(pc.invert(pc.is_in(table["type"], value_set=pa.array(silent, pa.string()))))


def embedding_rows(model: Model) -> pa.Table:
    """One row per item: its id, the graph's source and target vectors, and how many met it."""
    graph = next((kernel for kernel in model.kernels if kernel.name == "graph"), None)
    columns: dict[str, Any] = {"item_id": pa.array(model.item_ids, pa.string()), "users": pa.array(model.popularity)}
    if graph is not None and graph.source is not None and graph.target is not None:
        columns["source"] = pa.array(list(graph.source), pa.list_(pa.float32()))
        columns["target"] = pa.array(list(graph.target), pa.list_(pa.float32()))
    return pa.table(columns)


class Board:
    """Where the training task writes how far it is: an actor, since the two may be on different machines."""

    def __init__(self) -> None:
        self._notes: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()

    def put(self, percent: float, note: str) -> None:
        """Note the state."""
        self._notes.put((percent, note))

    def last(self) -> tuple[float, str] | None:
        """The newest note since the last call."""
        found = None
        while not self._notes.empty():
            found = self._notes.get()
        return found


def train_on_ray(
    data: Interactions,
    content: Content,
    weights: EventWeights,
    config: GraphConfig,
    meta: Mapping[str, Any],
    report: Progress,
) -> Model:
    """Train in a task of the cluster and wait for the model."""
    import ray

    board: Any = ray.remote(num_cpus=0)(Board).remote()
    task: Any = ray.remote(num_cpus=TRAIN_CPUS, max_retries=1)(_train)
    pending = task.remote(data, content, weights, config, dict(meta), board)
    while not ray.wait([pending], timeout=1.0)[0]:
        note = ray.get(board.last.remote())
        if note:
            report(note[0], 100, note[1])
    ray.kill(board)
    report(100, 100, "")
    model: Model = ray.get(pending)
    return model


def _train(
    data: Interactions,
    content: Content,
    weights: EventWeights,
    config: GraphConfig,
    meta: dict[str, Any],
    board: Any,
) -> Model:
    from graph.fit import fit

    told = 0.0

    def tell(stage: str, share: float, note: str) -> None:
        nonlocal told
        if time.monotonic() - told >= 0.5:
            told = time.monotonic()
            low, high = SHARES[stage]
            board.put.remote(low + (high - low) * share, f"{stage} {note}".strip())

    return fit(data, content, weights, config, tell, meta)
