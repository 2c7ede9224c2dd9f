"""What a peer is, and how one is tuned: on a part of the training events, divided as the protocol divides them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from graph.dataset import Interactions
from graph.fit import Content
from graph.metrics import ndcg, top
from graph.splits import Split

Choice = Mapping[str, float]
Scorer = Callable[[Split], np.ndarray]
"""(Q, N) scores of all items for the users that a split asks about, known by its visible events."""


@dataclass(frozen=True)
class Peer:
    """One published recommender.

    `fit` makes it from training events, what is known of the items, parameters and a seed; `grid` are the parameters
    that are tried. `trials`, where given, tries them in its own way, as an iterator of parameters and what they make.
    """

    name: str
    paper: str
    fit: Callable[[Interactions, Content, Choice, int], Scorer]
    grid: tuple[Choice, ...] = ({},)
    trials: Callable[[Interactions, Content, int], Iterator[tuple[Choice, Scorer]]] | None = None
    needs: str = ""
    """A package that may be missing."""
    needs_text: bool = False
    cold_items: bool = False
    """Whether it tells items apart that nobody met; such peers are asked about nothing else."""
    one_model: bool = False
    """Whether all views of a protocol share one set of parameters, since making a model is dear."""

    def missing(self, content: Content) -> str:
        """Why it cannot be asked, or nothing."""
        if self.needs and find_spec(self.needs) is None:
            return f"the package {self.needs} is not installed: pip install -e '.[peers]'"
        if self.needs_text and content.text is None:
            return "the items have no text vectors"
        return ""


def lists_of(scores: np.ndarray, split: Split, k: int, seed: int) -> np.ndarray:
    """(Q, k) best items of scores (Q, N): seen ones and what is no candidate removed, ties broken at random."""
    if split.candidates is not None:
        scores = np.where(split.candidates[None, :], scores, -np.inf)
    found = top(scores, k, split.seen(), seed)
    return np.pad(found, ((0, 0), (0, k - found.shape[1])), constant_values=-1)


def tune(
    peer: Peer, content: Content, validations: Mapping[str, Split], seed: int, k: int, budget_s: float
) -> dict[str, Choice]:
    """The parameters with the best nDCG for each view of a protocol; all validations have one training part.

    What does not fit into `budget_s` is not tried; the first parameters always are.
    """
    if peer.trials is None and len(peer.grid) == 1:
        return dict.fromkeys(validations, peer.grid[0])
    end = time.monotonic() + budget_s
    train = next(iter(validations.values())).train
    best: dict[str, tuple[float, Choice]] = {}
    for choice, score in _trials(peer, train, content, seed):
        found = {
            view: ndcg(lists_of(score(split), split, k, seed), split.truth, k) for view, split in validations.items()
        }
        if peer.one_model:
            found = dict.fromkeys(found, float(np.mean(list(found.values()))))
        for view, value in found.items():
            if view not in best or value > best[view][0]:
                best[view] = (value, choice)
        if time.monotonic() > end:
            break
    return {view: choice for view, (_, choice) in best.items()}


def peer_lists(
    peer: Peer, content: Content, splits: Mapping[str, Split], choices: Mapping[str, Choice], seed: int, k: int
) -> dict[str, np.ndarray]:
    """Lists of each view, from as few models as there are different choices."""
    train = next(iter(splits.values())).train
    made: dict[tuple[tuple[str, float], ...], Scorer] = {}
    lists = {}
    for view, split in splits.items():
        key = tuple(sorted(choices[view].items()))
        if key not in made:
            made[key] = peer.fit(train, content, choices[view], seed)
        lists[view] = lists_of(made[key](split), split, k, seed)
    return lists


def _trials(peer: Peer, train: Interactions, content: Content, seed: int) -> Iterator[tuple[Choice, Scorer]]:
    if peer.trials is not None:
        yield from peer.trials(train, content, seed)
        return
    for choice in peer.grid:
        yield choice, peer.fit(train, content, choice, seed)
