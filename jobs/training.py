"""Training as a Ray task: from interactions to a version's folder in the artifacts' place, or to the reason why not.

The task does all that needs the model, so that a model of gigabytes never travels: it trains, compares with the live
version, and writes the folder, its manifest last. The registry is left to the job.
"""

from __future__ import annotations

import math
import queue
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.artifacts import BundleWriter, open_bundle
from cluster.config import Settings
from cluster.errors import BundleError
from cluster.messages import Version
from graph.bundle import load_model, save_model
from graph.compare import Live
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.model import Model
from graph.ranking import Ranker
from graph.warm import Warm
from graph.weights import EventWeights
from jobs.common import Progress, say
from jobs.workers import Together

NAME = "graph"
TRAIN_CPUS = 0.5
SHARES = {"tune": (0, 50), "combine": (50, 55), "train": (55, 95), "publish": (95, 100)}
"""Where each stage of training begins and ends, in per cent of the whole."""
FEW_SESSIONS = 50
"""With fewer held-out sessions a comparison says nothing."""
CLEARLY = 1.645
"""Standard errors that a difference has to go beyond: once in twenty chance alone does that, one-sided."""


@dataclass(frozen=True)
class Plan:
    """What is to be made: the version's name, on the ground of which other, and how much worse it may be."""

    settings: Settings
    version: str
    live: Version | None = None
    incremental: bool = False
    """Go on from the live version's state."""
    tolerance: float = 0.05
    force: bool = False
    workers: int = 1
    """Processes that train the encoder together."""

    @property
    def url(self) -> str:
        """Where the version's folder goes: beside those of its tenant alone, whose orphans `jobs.prune` deletes."""
        return f"{self.settings.resolved_artifacts_url.rstrip('/')}/{self.settings.tenant}/{NAME}/{self.version}"


@dataclass(frozen=True)
class Made:
    """What became of it. `verdict` says why the version may not serve, `url` is None when it was not written."""

    figures: dict[str, float]
    verdict: str
    url: str | None
    incremental: bool
    stages_s: dict[str, float]
    note: str = ""


class Board:
    """Where the training task writes how far it is: an actor, since the two may be on different machines."""

    def __init__(self) -> None:
        self._notes: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()

    def put(self, percent: float, note: str) -> None:
        """Note the state."""
        self._notes.put((percent, note))

    def new(self) -> list[tuple[float, str]]:
        """The notes since the last call."""
        found = []
        while not self._notes.empty():
            found.append(self._notes.get())
        return found


def train_on_ray(
    data: Any, content: Any, weights: EventWeights, config: GraphConfig, plan: Plan, report: Progress
) -> Made:
    """Train in a task of the cluster and wait for its end. `data` and `content` are references (`ray.put`)."""
    import ray

    board: Any = ray.remote(num_cpus=0)(Board).remote()
    task: Any = ray.remote(num_cpus=TRAIN_CPUS, max_retries=0)(train)
    pending = task.remote(data, content, weights, config, plan, board)
    shown = ""
    try:
        done = False
        while not done:
            done = bool(ray.wait([pending], timeout=1.0)[0])
            for percent, note in ray.get(board.new.remote()):
                report(percent, 100, note)
                if note.split()[0] != shown:  # each stage once, also where progress is seldom written
                    shown = note.split()[0]
                    say(f"training: {shown}")
        made: Made = ray.get(pending)
    finally:
        ray.kill(board)
    report(100, 100, "")
    return made


def train(
    data: Interactions, content: Content, weights: EventWeights, config: GraphConfig, plan: Plan, board: Any = None
) -> Made:
    """Train, judge, and write the folder unless the verdict is against it."""
    clock = _Clock(board)
    with tempfile.TemporaryDirectory(prefix="tailorbird-live-") as folder:
        model, warm, note = _live_model(plan, weights, config, Path(folder))
        live = Live(model, warm.until_ms) if model is not None and warm is not None else None
        warm = warm if plan.incremental and not note else None
        trainer = Together(plan.workers, f"{plan.url}.training")
        made = fit(
            data, content, weights, config, clock, {"version": plan.version}, warm=warm, trainer=trainer, live=live
        )
    own = {name: float(value) for name, value in dict(made.meta["figures"]).items()}
    base = dict(plan.live.metrics) if plan.live else {}
    verdict = judge(own, base, plan.tolerance, incremental=warm is not None)
    figures = own if warm is None else _with_base(own, base)
    note = note if plan.incremental else ""
    if verdict and not plan.force:
        return Made(figures, verdict, None, warm is not None, clock.seconds(), note)
    clock("publish", 0.0, "")
    url = publish(made, plan)
    return Made(figures, verdict, url, warm is not None, clock.seconds(), note)


def judge(own: dict[str, float], live: dict[str, float], tolerance: float, incremental: bool = False) -> str:
    """Why this version may not be published, or nothing.

    It may lack no more than the share `tolerance` of the nDCG@10 of the live version, nor of popularity, by more than
    chance. Both versions are asked in the same sessions, for events that neither has seen. Where these are too few the
    figures of a version made anew are compared with those that the live one had on its own sessions.

    Args:
        own: figures of `graph.fit`. live: those of the live version, if any.
    """
    ours, popular = own.get("ndcg@10", 0.0), own.get("popularity_ndcg@10", 0.0)
    if own.get("newest_sessions", 0) >= FEW_SESSIONS:
        ours, theirs = own["newest_ndcg@10"], own["newest_live_ndcg@10"]
        if _lacks(ours, theirs, own["newest_error"], tolerance):
            return f"nDCG@10 on new events is {ours:.4f}, that of the live version {theirs:.4f}"
    elif "ndcg@10" in live and not incremental:
        error = math.hypot(own.get("ndcg@10_error", 0.0), live.get("ndcg@10_error", 0.0))
        if _lacks(ours, live["ndcg@10"], error, tolerance):
            return f"nDCG@10 is {ours:.4f}, that of the live version {live['ndcg@10']:.4f}"
    if incremental or own.get("sessions", 0) < FEW_SESSIONS:
        return ""
    ours = own["ndcg@10"]
    if _lacks(ours, popular, own.get("popularity_error", 0.0), tolerance):
        return f"nDCG@10 is {ours:.4f}, that of popularity {popular:.4f}"
    return ""


def _lacks(ours: float, theirs: float, error: float, tolerance: float) -> bool:
    return ours + CLEARLY * error < theirs * (1 - tolerance)


def publish(model: Model, plan: Plan) -> str:
    """Write the version's folder, after it has been loaded and has ranked. Gives its URL."""
    with BundleWriter(NAME, {"version": plan.version, "config_hash": model.config.config_hash}) as writer:
        save_model(model, writer.folder)
        Ranker.load(writer.folder, plan.version).smoke()
        (writer.folder / "embeddings").mkdir()
        pq.write_table(embedding_rows(model), writer.folder / "embeddings" / "items.parquet")
        return writer.publish(plan.url)


def embedding_rows(model: Model) -> pa.Table:
    """One row per item: its id, the graph's source and target vectors, and how many met it."""
    graph = next((kernel for kernel in model.kernels if kernel.name == "graph"), None)
    columns: dict[str, Any] = {"item_id": pa.array(model.item_ids, pa.string()), "users": pa.array(model.popularity)}
    if graph is not None:
        for name, vectors in (("source", graph.source), ("target", graph.target)):
            if vectors is not None:
                columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return pa.table(columns)


def _live_model(
    plan: Plan, weights: EventWeights, config: GraphConfig, folder: Path
) -> tuple[Model | None, Warm | None, str]:
    """The live version's model and state, as far as they can be read, and why training cannot go on from them."""
    if plan.live is None:
        return None, None, "no version is live yet"
    try:
        opened = open_bundle(plan.live.url, folder, kind=NAME)
        model = load_model(opened)
    except (BundleError, OSError) as error:
        return None, None, f"the live version cannot be read: {error}"
    warm = Warm.load(opened, model.item_ids)
    if model.config.config_hash != config.config_hash:
        return model, warm, "the settings of the section graph, or the method, have changed"
    if model.weights.to_dict() != weights.to_dict():
        return model, warm, "what events tell (events.weights, default_weight, rating_scale) has changed"
    return model, warm, "" if warm is not None else "the live version holds no state to go on from"


def _with_base(own: dict[str, float], base: dict[str, float]) -> dict[str, float]:
    """The figures of an incremental version: those of its base, and how both did on the newest events."""
    kept = {name: value for name, value in base.items() if not name.startswith("newest_")}
    return kept | {name: value for name, value in own.items() if name.startswith("newest_")}


class _Clock:
    """Tells the board how far it is, and keeps how long each stage took."""

    def __init__(self, board: Any) -> None:
        self._board, self._told, self._stage = board, 0.0, ""
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}

    def __call__(self, stage: str, share: float, note: str) -> None:
        begins = stage != self._stage
        if begins:
            self._close()
            self._stage = stage
        if self._board is not None and (begins or time.monotonic() - self._told >= 0.5):
            self._told = time.monotonic()
            low, high = SHARES[stage]
            self._board.put.remote(low + (high - low) * share, f"{stage} {note}".strip())

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far."""
        self._close()
        return {name: round(value, 2) for name, value in self._seconds.items()}

    def _close(self) -> None:
        now = time.monotonic()
        if self._stage:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._began
        self._began = now


def without_people(data: Interactions) -> Interactions:
    """The same events with numbers in place of user ids, which training has no use for."""
    numbers: Any = range(len(data.user_ids))
    return replace(data, user_ids=numbers)
