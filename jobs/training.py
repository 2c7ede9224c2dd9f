"""Training as a Ray task: from interactions to a version's folder in the artifacts' place, or to the reason why not.

The task does all that needs the model, so that a model of gigabytes never travels: it trains, compares with the live
version, and writes the folder, its manifest last. The registry is left to the job.
"""

from __future__ import annotations

import queue
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.config import Settings
from cluster.messages import Version
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content
from graph.model import Model
from graph.weights import EventWeights
from jobs.common import Progress, say
from jobs.workers import Together

NAME = "graph"
TRAIN_CPUS = 0.5
SHARES = {"tune": (0, 50), "combine": (50, 55), "train": (55, 95), "publish": (95, 100)}
"""Where each stage of training begins and ends, in per cent of the whole."""
FEW_SESSIONS = 50
"""With fewer held-out sessions a comparison says nothing."""


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
    from graph.fit import fit

    clock = _Clock(board)
    with tempfile.TemporaryDirectory(prefix="tailorbird-live-") as folder:
        before, warm, note = _live_model(plan, config, Path(folder)) if plan.incremental else (None, None, "")
        trainer = Together(plan.workers, f"{plan.url}.training")
        model = fit(data, content, weights, config, clock, {"version": plan.version}, warm=warm, trainer=trainer)
        figures = {name: float(value) for name, value in dict(model.meta["figures"]).items()}
        live = dict(plan.live.metrics) if plan.live else None
        if before is not None and warm is not None:
            figures = _against_live(figures, live or {}, before, warm.until_ms, data, config)
        verdict = judge(figures, live, plan.tolerance)
    if verdict and not plan.force:
        return Made(figures, verdict, None, warm is not None, clock.seconds(), note)
    clock("publish", 0.0, "")
    url = publish(model, plan)
    return Made(figures, verdict, url, warm is not None, clock.seconds(), note)


def judge(figures: dict[str, float], live: dict[str, float] | None, tolerance: float) -> str:
    """Why this version may not be published, or nothing.

    It may be neither clearly worse than popularity on its own held-out sessions nor than what the live version reached.
    An incremental version is compared with the live one on events that neither has seen.
    """
    if "newest_ndcg@10" in figures:
        ours, theirs = figures["newest_ndcg@10"], figures["newest_live_ndcg@10"]
        if figures["newest_sessions"] >= FEW_SESSIONS and ours < theirs * (1 - tolerance):
            return f"nDCG@10 on new events is {ours:.4f}, that of the live version {theirs:.4f}"
        return ""
    ours = figures.get("ndcg@10", 0.0)
    popular = figures.get("popularity_ndcg@10", 0.0)
    if figures.get("sessions", 0) >= FEW_SESSIONS and ours < popular * (1 - tolerance):
        return f"nDCG@10 is {ours:.4f}, that of popularity {popular:.4f}"
    if live and "ndcg@10" in live and ours < live["ndcg@10"] * (1 - tolerance):
        return f"nDCG@10 is {ours:.4f}, that of the live version {live['ndcg@10']:.4f}"
    return ""


def publish(model: Model, plan: Plan) -> str:
    """Write the version's folder, after it has been loaded and has ranked. Gives its URL."""
    from cluster.artifacts import BundleWriter
    from graph.bundle import save_model
    from graph.ranking import Ranker

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


def _live_model(plan: Plan, config: GraphConfig, folder: Path) -> tuple[Any, Any, str]:
    """The live version's model and state, or why there is nothing to go on from."""
    from cluster.artifacts import open_bundle
    from cluster.errors import BundleError
    from graph.bundle import load_model
    from graph.warm import Warm

    if plan.live is None:
        return None, None, "no version is live yet"
    try:
        opened = open_bundle(plan.live.url, folder, kind=NAME)
        model = load_model(opened)
    except BundleError as error:
        return None, None, f"the live version cannot be read: {error}"
    if model.config.config_hash != config.config_hash:
        return None, None, "the settings of the section graph, or the method, have changed"
    warm = Warm.load(opened, model.item_ids)
    return (model, warm, "") if warm is not None else (None, None, "the live version holds no state to go on from")


def _against_live(
    ours: dict[str, float], base: dict[str, float], live: Model, until_ms: int, data: Interactions, config: GraphConfig
) -> dict[str, float]:
    """The figures of an incremental version: those of its base, and both on the newest events."""
    from graph.compare import figure_of
    from graph.splits import newest_split

    split = newest_split(data, until_ms, config.combine.held_out, config.combine.max_queries, config.seed)
    kept = {name: value for name, value in base.items() if not name.startswith("newest_")}
    return kept | {
        "newest_ndcg@10": ours.get("ndcg@10", 0.0),
        "newest_live_ndcg@10": figure_of(live, data.item_ids, split, config) if len(split.users) else 0.0,
        "newest_sessions": ours.get("sessions", 0.0),
    }


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
