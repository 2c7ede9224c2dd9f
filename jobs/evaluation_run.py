"""A run of an evaluation: models are asked one after the other, and what they answered is kept, so that it can go on.

Every answer, the lists of one model for one protocol and seed, is a file in the run's folder. Its name holds what it
depends on: the split, the settings, the source of the code. A run that was cut short, or is asked for more seeds or
peers, takes up what is there and makes what is missing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cluster.messages import Item
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.evaluation import Aspects, Measured, measure, parts_of, served_lists, splits_of
from graph.fit import Content, fit
from graph.ranking import Ranker
from graph.splits import Split
from graph.weights import EventWeights
from jobs.peers.base import Choice, Peer, peer_lists, tune

OURS = "tailorbird"
CURVE = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Values of the `diversity` knob that are measured."""
VALIDATION_SEED = 1000
"""Added to the seed of a split for the division of its training part on which peers are tuned."""

WITHOUT_NEW = "without the new items"
"""What our model is called that shows none of the items that came after it."""

Tell = Callable[[float, str], None]


def at_diversity(diversity: float) -> str:
    """What our model is called when it is asked with this `diversity`."""
    return f"{OURS}, diversity {diversity:g}"


@dataclass
class Evaluation:
    """What is evaluated, how, and where answers are kept.

    `seeds` are those of the splits; `peers` are asked as well; with `ablation` so is each part of the model, with
    `curve` the model at several values of its `diversity` knob. After `end` (a moment of `time.monotonic`) nothing new
    is begun. Peers that cannot be asked come to stand in `skipped`, with the reason; what was not done in `unfinished`.
    """

    data: Interactions
    items: Mapping[str, Item]
    content: Content
    weights: EventWeights
    config: GraphConfig
    folder: Path
    k: int = 10
    ablation: bool = False
    curve: bool = False
    tune_s: float = 120.0
    end: float = float("inf")
    skipped: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)

    def run(self, family: str, views: Sequence[str], seed: int, peers: Sequence[Peer], tell: Tell) -> None:
        """Ask everybody what has not been asked yet."""
        splits = splits_of(family, views, self.data, seed)
        ours = [OURS, *(at_diversity(value) for value in CURVE if self.curve)]
        if not self._whole(ours, splits, seed) or (self.ablation and not self._parts(family, splits, seed)):
            self._when_in_time(f"{OURS} {family} {seed}", partial(self._ask_ours, family, splits, seed, tell))
        for peer in peers:
            if reason := peer.missing(self.content):
                self.skipped[peer.name] = reason
            elif not self._whole([peer.name], splits, seed):
                tell(0.0, peer.name)
                self._when_in_time(f"{peer.name} {family} {seed}", partial(self._ask, peer, family, splits, seed))

    def answers(
        self, family: str, views: Sequence[str], seed: int, names: Sequence[str]
    ) -> dict[str, dict[str, Measured]]:
        """Figures by view and model of what was asked: of these models, and of all parts of ours."""
        splits = splits_of(family, views, self.data, seed)
        aspects = Aspects.of(self.data, self.items, self.content)
        shown = self.ablation or any(split.new is not None for split in splits.values())
        parts = self._parts(family, splits, seed) if shown else []
        found: dict[str, dict[str, Measured]] = {}
        for view, split in splits.items():
            for name in (*names, *parts):
                path = self._path(name, view, split, seed)
                if path.exists():
                    lists = np.load(path, allow_pickle=False)
                    found.setdefault(view, {})[name] = measure(lists, split, aspects, self.k)
        return found

    def _when_in_time(self, what: str, act: Callable[[], None]) -> None:
        if time.monotonic() < self.end:
            act()
        else:
            self.unfinished.append(what)

    def _ask_ours(self, family: str, splits: dict[str, Split], seed: int, tell: Tell) -> None:
        first = next(iter(splits.values()))
        train, content = first.train, self.content
        if first.new is not None:
            train, content = train.without_items(first.new), self._known(~first.new)
        model = fit(
            train, content, self.weights, self.config, lambda stage, share, note: tell(share, f"{stage} {note}")
        )
        ranker = Ranker(model, "evaluated")
        parts = {name: Ranker(part, "part") for name, part in parts_of(model, self.ablation).items()}
        if first.new is not None:
            parts, ranker = {WITHOUT_NEW: ranker}, self._with_new(ranker, first.new)
        for view, split in splits.items():
            for value in CURVE if self.curve else ():
                self._keep(at_diversity(value), view, split, seed, served_lists(ranker, split, self.k, value))
        for name, part in parts.items():
            for view, split in splits.items():
                self._keep(name, view, split, seed, served_lists(part, split, self.k))
        self._note(self._parts_path(family, splits, seed), list(parts))
        for view, split in splits.items():
            self._keep(OURS, view, split, seed, served_lists(ranker, split, self.k))

    def _known(self, kept: np.ndarray) -> Content:
        """What is known of the items where `kept` (N,) holds."""
        ids = tuple(item_id for item_id, there in zip(self.data.item_ids, kept.tolist(), strict=True) if there)
        return Content.of(ids, self.items, self.config, self._texts(kept))

    def _with_new(self, ranker: Ranker, new: np.ndarray) -> Ranker:
        """The ranker beside whose version the items where `new` (N,) holds have come, as they do while it serves."""
        ids = [self.data.item_ids[number] for number in np.flatnonzero(new)]
        return ranker.with_items([self.items[item_id] for item_id in ids if item_id in self.items], self._texts(new))

    def _texts(self, chosen: np.ndarray) -> dict[str, np.ndarray]:
        text = self.content.text
        numbers = [] if text is None else np.flatnonzero(chosen & (np.abs(text).sum(axis=1) > 0)).tolist()
        return {self.data.item_ids[number]: text[number] for number in numbers} if text is not None else {}

    def _ask(self, peer: Peer, family: str, splits: dict[str, Split], seed: int) -> None:
        lists = peer_lists(peer, self.content, splits, self._choices(peer, family, splits, seed), seed, self.k)
        for view, split in splits.items():
            self._keep(peer.name, view, split, seed, lists[view])

    def _choices(self, peer: Peer, family: str, splits: dict[str, Split], seed: int) -> dict[str, Choice]:
        """Parameters of a peer, tuned on the first split that it is asked about and kept for the other seeds."""
        path = self.folder / f"{_slug(peer.name)}.{family}.{self._of_peers}.choices.json"
        known: dict[str, Choice] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not set(splits) <= set(known):
            train = next(iter(splits.values())).train
            validations = splits_of(family, splits, train, seed + VALIDATION_SEED)
            known |= tune(peer, self.content, validations, seed, self.k, self.tune_s)
            self._note(path, {view: dict(choice) for view, choice in known.items()})
        return known

    def _parts(self, family: str, splits: dict[str, Split], seed: int) -> list[str]:
        path = self._parts_path(family, splits, seed)
        found: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return found

    def _parts_path(self, family: str, splits: dict[str, Split], seed: int) -> Path:
        view, split = next(iter(splits.items()))
        kind = "ablation" if self.ablation else "parts"
        return self._path(kind, view, split, seed).with_suffix(".json")

    def _whole(self, names: Sequence[str], splits: dict[str, Split], seed: int) -> bool:
        return all(self._path(name, view, split, seed).exists() for name in names for view, split in splits.items())

    def _path(self, name: str, view: str, split: Split, seed: int) -> Path:
        from jobs.peers.registry import PEERS

        made_by = self._of_peers if name in PEERS else self._of_ours
        return self.folder / f"{view}.{seed}.{_slug(name)}.{self.k}.{_print_of(split)}.{made_by}.npy"

    def _keep(self, name: str, view: str, split: Split, seed: int, lists: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(name, view, split, seed)
        part = path.with_suffix(".part.npy")
        np.save(part, lists.astype(np.int32), allow_pickle=False)
        part.replace(path)

    def _note(self, path: Path, value: object) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(value), encoding="utf-8")
        part.replace(path)

    def __post_init__(self) -> None:
        content = hashlib.sha256(self.content.hashed.tobytes())
        content.update(b"" if self.content.text is None else self.content.text.tobytes())
        for name, vectors in self.content.vectors.items():
            content.update(name.encode() + vectors.tobytes())
        known = content.hexdigest()[:8]
        self._of_ours = _short(f"{self.config.config_hash} {known} {_source_of('graph')} {self.weights.to_dict()}")
        self._of_peers = _short(f"{known} {_source_of('jobs.peers')}")


def _source_of(package: str) -> str:
    """A print of the code of a package."""
    digest = hashlib.sha256()
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _print_of(split: Split) -> str:
    """A print of a split."""
    digest = hashlib.sha256()
    for array in (
        split.train.user, split.train.item, split.train.strength, split.visible.user, split.visible.item, split.users,
        split.truth.indptr, split.truth.indices,
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:8]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
