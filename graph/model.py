"""The model: what a version holds and what every list is computed from. Plain arrays, no torch, no DGL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from graph.config import GraphConfig
from graph.content import ContentMap
from graph.fresh import carried_rows, strongest_anchors
from graph.kernels import Kernel, Sessions
from graph.likeness import LIKENESS
from graph.stretch import Stretch
from graph.traits import Traits
from graph.weights import EventWeights

if TYPE_CHECKING:
    from graph.warm import Warm

UNMET = "unmet"
"""The gate by which items that nobody met stand further out by the factorisation (`graph.unmet`, `graph.stretch`)."""
NEW = "new"
"""The source that lifts items that came after the version was made."""


@dataclass(frozen=True, eq=False)
class Bias:
    """A source that is the same for everybody: `values` (N,). `kind` is the kind of its reasons."""

    name: str
    values: np.ndarray
    kind: str = "popular"


@dataclass(frozen=True)
class Gate:
    """The weight of one source: exp(level + slope * x + bend * x^2), by how much of a person is known.

    For a session without times `still`, `still_slope` and `still_bend` are added to the three. Of items that nobody met
    it counts, times exp(unmet), how far they stand out among others by their content (`graph.unmet`).
    """

    level: float = 0.0
    slope: float = 0.0
    bend: float = 0.0
    still: float = 0.0
    still_slope: float = 0.0
    still_bend: float = 0.0
    unmet: float = 0.0

    @property
    def share(self) -> float:
        """exp(unmet)."""
        return float(np.exp(self.unmet))

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        """(Q,) weights for sessions of which `context` says this (Q, 2)."""
        return gates_at(np.array([self.coefficients]), seen)[:, 0]

    @property
    def coefficients(self) -> tuple[float, ...]:
        """What `gates_at` reads, (6,)."""
        return self.level, self.slope, self.bend, self.still, self.still_slope, self.still_bend


def gates_at(coefficients: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(Q, G): what G gates of these `coefficients` (G, 6) weigh for sessions of which `context` says this (Q, 2)."""
    x, timeless = seen.T
    known = np.stack([np.ones(len(x)), x, x * x])
    return np.asarray(np.exp(np.clip((coefficients @ np.concatenate([known, known * timeless])).T, -30.0, 30.0)))


def context(sessions: Sessions) -> np.ndarray:
    """(Q, 2), what gates depend on: how many events a session has, and whether it is without times.

    The number is on a logarithmic scale, -1.5 for none, near 0 for 20.
    """
    x = (np.log1p(np.minimum(sessions.lengths, 500)) - 3.0) / 2.0
    return np.stack([x, sessions.timeless], axis=1)


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that ranks.

    `kernels` and `biases` are the sources, `gates` their weights by name; a source without a gate is not used.
    `vectors` (N, d) unit vectors tell how alike two items are (diversity); `jitter` (N,) breaks ties at random.
    `popularity` (N,) counts the people who met an item. `state` is what a later training may begin with.
    `traits`, `reach` (2, N) and `impressions` (N,), how often lists showed an item, are what choosing a list reads
    (`graph.traits`, `graph.reach`, `graph.explore`), where they are known.
    """

    item_ids: tuple[str, ...]
    kernels: tuple[Kernel, ...]
    biases: tuple[Bias, ...]
    gates: Mapping[str, Gate]
    vectors: np.ndarray
    popularity: np.ndarray
    jitter: np.ndarray
    weights: EventWeights
    config: GraphConfig
    content: ContentMap | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    state: Warm | None = None
    traits: Traits | None = None
    reach: np.ndarray | None = None
    impressions: np.ndarray | None = None

    @property
    def active(self) -> tuple[Kernel, ...]:
        """The kernels that have a gate."""
        return tuple(kernel for kernel in self.kernels if kernel.name in self.gates)

    @property
    def active_biases(self) -> tuple[Bias, ...]:
        """The biases that have a gate."""
        return tuple(bias for bias in self.biases if bias.name in self.gates)

    def only(self, *names: str) -> Model:
        """The same model with these sources alone, for comparisons."""
        return replace(self, gates={name: gate for name, gate in self.gates.items() if name in names})

    def ungated(self, *names: str) -> Model:
        """The same model with these sources at their own scale."""
        return replace(self, gates=dict(self.gates) | {name: Gate() for name in names})

    def scores(self, sessions: Sessions) -> np.ndarray:
        """(Q, N) float32, all items."""
        x = context(sessions)
        total = np.zeros((len(sessions), len(self.item_ids)), dtype=np.float32)
        for kernel in self.active:
            found = kernel.scores(sessions) * self.gates[kernel.name](x)[:, None].astype(np.float32)
            if kernel.name == LIKENESS:
                found[:, self.popularity > 0] = 0.0
            elif kernel.name == "factors" and UNMET in self.gates and self.content is not None:
                assert kernel.target is not None
                stretch = Stretch.of(kernel.target, self.popularity, self.content.anchors, None)
                if stretch is not None:
                    middle = found[:, self.content.anchors].mean(axis=1, keepdims=True)
                    apart = found[:, stretch.items] - middle
                    found[:, stretch.items] = middle + self.gates[UNMET](x)[:, None].astype(np.float32) * apart
            total += found
        for bias in self.active_biases:
            total += self.gates[bias.name](x)[:, None].astype(np.float32) * bias.values[None, :]
        return total

    def fused(self) -> Model:
        """The same model with dense sources that stand in fixed proportions made into one, named after the first."""
        kept: list[Kernel] = []
        for kernel in self.active:
            gate = self.gates[kernel.name]
            for place, other in enumerate(kept):
                leader = self.gates[other.name]
                alike = other.reading == kernel.reading and replace(leader, level=gate.level) == gate
                if kernel.fusion is not None and other.fusion == kernel.fusion and alike:
                    assert isinstance(other.matrix, np.ndarray) and isinstance(kernel.matrix, np.ndarray)
                    share = np.float32(np.exp(gate.level - leader.level))
                    kept[place] = replace(other, matrix=other.matrix + share * kernel.matrix)
                    break
            else:
                kept.append(kernel)
        if len(kept) == len(self.kernels):
            return self
        names = {kernel.name for kernel in kept} | {bias.name for bias in self.biases} | {UNMET}
        gates = {name: gate for name, gate in self.gates.items() if name in names}
        return replace(self, kernels=tuple(kept), gates=gates)


@dataclass(frozen=True, eq=False)
class Carry:
    """Carries what holds of `anchors` (A,) over to n items by `weights` (n, A).

    By a `share` other than 1 the items stand out from the mean of the anchors by so much more or less.
    """

    anchors: np.ndarray
    weights: np.ndarray

    def rows(self, values: np.ndarray, share: float = 1.0) -> np.ndarray:
        """(N, ...) -> (n, ...)."""
        return carried_rows(self.weights, values[self.anchors], share)

    def kernel(self, kernel: Kernel, share: float = 1.0) -> Kernel:
        """The kernel with n further items at the end, whose scores stand out by `share`."""
        if kernel.matrix is None:
            source, target = kernel.source, kernel.target
            assert source is not None and target is not None
            return replace(
                kernel,
                source=np.concatenate([source, self.rows(source)]),
                target=np.concatenate([target, self.rows(target, share)]),
            )
        if sp.issparse(kernel.matrix):
            selector = strongest_anchors(self.anchors, self.weights, kernel.items)
            below = selector @ kernel.matrix
            to = selector.T * np.float32(share)
            right = kernel.matrix @ to
            return replace(kernel, matrix=sp.bmat([[kernel.matrix, right], [below, below @ to]], format="csr"))
        below = self.weights @ kernel.matrix[self.anchors]
        right = carried_rows(self.weights, kernel.matrix[:, self.anchors].T, share).T
        corner = carried_rows(self.weights, below[:, self.anchors].T, share).T
        return replace(kernel, matrix=np.block([[kernel.matrix, right], [below, corner]]).astype(np.float32))
