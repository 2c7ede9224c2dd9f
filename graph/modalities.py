"""All that an item carries (facts, a text, its owner's own vectors), and how the likenesses by each become one.

A modality gives each item that carries it a vector of unit length: `facts` are hashed features, `text` and the owner's
vectors (of a picture, of a sound) are taken less the mean of all items. `Fusion` joins what an item carries by
attention over what is there: each modality counts by the softmax of learnt logits among those that the item carries,
and the vectors, each times the root of its share, stand one after the other. The likeness of two items is the product
of their joined vectors: a sum over the modalities that both carry. Whatever is missing where, a matrix of such
likenesses has no negative eigenvalues, as the inverse in `graph.content` needs it (docs/decisions/0036-modalities.md).

The logits, and the scale of the whole, are those by which the anchors' factors are foretold best from the other
anchors', each anchor left out in turn: of a kernel ridge regression that error has a closed form (Rifkin and Lippert,
"Notes on regularized least squares", 2007), and so has its gradient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from cluster.errors import InputError
from cluster.messages import Item

FACTS, TEXT = "facts", "text"
OWN = "vectors."
"""What the names of the owner's modalities begin with."""
FACTS_COUNT, TEXT_COUNT = 0.6, 0.8
"""What the likeness of facts, and that of texts, counts where an item carries nothing else, and where learning begins.
The owner's vectors begin as texts do."""
MOST = 1000
"""Anchors, drawn at random, that the logits are learnt on at most."""
FEWEST = 20
"""With fewer anchors nothing is learnt."""
PULL = 1e-3
"""How strongly logits are held where they begin, in shares of the anchors' variance."""
LOGITS, SCALES = 4.0, (0.3, 6.0)
"""How far a logit may move, and what the scale may be."""
STEPS = 40

Carried = Mapping[str, np.ndarray]
"""Of n items (n, D) for each modality, zero rows where it is missing."""


def carried(hashed: np.ndarray, text: np.ndarray | None, vectors: Carried | None) -> dict[str, np.ndarray]:
    """All modalities by name: `hashed` (n, F), `text` (n, T), `vectors` (n, D) by the owner's name."""
    found = {FACTS: hashed} if text is None else {FACTS: hashed, TEXT: text}
    return found | {f"{OWN}{name}": array for name, array in (vectors or {}).items()}


def vectors_of(items: Sequence[Item | None]) -> dict[str, np.ndarray]:
    """The owner's vectors of items, (n, D) by name, zero rows where missing.

    Raises:
        InputError: those of one name have several lengths. The item that differs from most is named.
    """
    lengths: dict[str, Counter[int]] = {}
    for item in items:
        for name, vector in item.vectors.items() if item is not None else ():
            lengths.setdefault(name, Counter())[len(vector)] += 1
    usual = {name: found.most_common(1)[0][0] for name, found in sorted(lengths.items())}
    out = {name: np.zeros((len(items), length), dtype=np.float32) for name, length in usual.items()}
    for row, item in enumerate(items):
        for name, vector in item.vectors.items() if item is not None else ():
            if len(vector) != usual[name]:
                raise InputError(
                    f"vectors.{name} has {len(vector)} numbers, most items have {usual[name]}",
                    f"item {item.item_id!r}" if item is not None else "",
                )
            out[name][row] = vector
    return out


def centred(vectors: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(n, D) float32: less the centre, of unit length, zero rows left as they are."""
    moved = np.where(np.abs(vectors).sum(axis=1, keepdims=True) > 0, vectors - centre, 0.0)
    length = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return np.asarray(moved / length, dtype=np.float32)


def centre_of(vectors: np.ndarray) -> np.ndarray:
    """(D,) float32: the mean of the rows that are not missing."""
    present = np.abs(vectors).sum(axis=1) > 0
    return np.asarray(vectors[present].mean(axis=0) if present.any() else np.zeros(vectors.shape[1]), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Fusion:
    """How modalities are joined: `logits` and `centres` (D,) by name, facts without a centre, and the `scale`."""

    logits: Mapping[str, float]
    centres: Mapping[str, np.ndarray]
    scale: float

    @classmethod
    def before(cls, given: Carried) -> Fusion:
        """Where learning begins, for all items of a catalogue."""
        counts = {name: FACTS_COUNT if name == FACTS else TEXT_COUNT for name in given}
        logits = {name: float(np.log(count)) for name, count in counts.items()}
        centres = {name: centre_of(array) for name, array in given.items() if name != FACTS}
        return cls(logits, centres, FACTS_COUNT + TEXT_COUNT)

    @classmethod
    def learn(cls, given: Carried, anchors: np.ndarray, targets: np.ndarray, ridge: float, seed: int) -> Fusion:
        """The fusion by which the `targets` (N, d) of `anchors` (A,) are foretold best; `given` of all N items."""
        from scipy.optimize import minimize  # what only ranks does without

        start = cls.before(given)
        if len(anchors) > MOST:
            anchors = np.sort(np.random.default_rng(seed).choice(anchors, MOST, replace=False))
        wanted = targets[anchors].astype(np.float64)
        wanted = wanted - wanted.mean(axis=0)
        variance = float((wanted**2).sum())
        if len(anchors) < FEWEST or variance <= 0:
            return start
        units = start.units({name: array[anchors] for name, array in given.items()})
        alike = [unit.astype(np.float64) @ unit.T.astype(np.float64) for unit in units.values()]
        there = np.stack([(unit != 0).any(axis=1) for unit in units.values()], axis=1).astype(np.float64)
        logits = np.array([start.logits[name] for name in units])
        first = np.append(logits, np.log(start.scale))

        def error(point: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = _left_out(point, alike, there, wanted / np.sqrt(variance), ridge)
            return value + PULL * float(((point - first) ** 2).sum()), gradient + 2.0 * PULL * (point - first)

        bounds = [(logit - LOGITS, logit + LOGITS) for logit in logits.tolist()] + [tuple(np.log(SCALES).tolist())]
        found = minimize(error, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}).x
        return cls(dict(zip(units, found[:-1].tolist(), strict=True)), start.centres, float(np.exp(found[-1])))

    def units(self, given: Carried) -> dict[str, np.ndarray]:
        """(n, D) by modality: of unit length, or zero."""
        return {
            name: given[name] if name == FACTS else centred(given[name], self.centres[name])
            for name in self.logits
            if name in given
        }

    def joined(self, given: Carried) -> dict[str, np.ndarray]:
        """The parts (n, D) of the items' joined vectors, whose squares add up to the scale, or to zero."""
        units = self.units(given)
        there = np.stack([(unit != 0).any(axis=1) for unit in units.values()], axis=1)
        shares = _attention(np.array([self.logits[name] for name in units]), there)
        roots = np.sqrt(self.scale * shares).astype(np.float32)
        return {name: unit * roots[:, [place]] for place, (name, unit) in enumerate(units.items())}

    def reduced(self, given: Carried, dim: int) -> np.ndarray:
        """(n, dim) float32 of unit length, or zero: the joined vectors' directions with most variance."""
        return reduced(np.concatenate([projected(part, dim) for part in self.joined(given).values()], axis=1), dim)


def projected(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Centred and reduced to the `dim` directions with most variance, zero rows left as they are: (n, dim)."""
    present = np.abs(vectors).sum(axis=1) > 0
    mean = vectors[present].mean(axis=0) if present.any() else 0.0
    moved = np.where(present[:, None], vectors - mean, 0.0)
    covariance = moved.T.astype(np.float64) @ moved
    _, directions = np.linalg.eigh(covariance)
    return np.asarray(moved @ directions[:, ::-1][:, :dim])


def reduced(vectors: np.ndarray, dim: int) -> np.ndarray:
    """The same of unit length: (n, dim) float32."""
    found = projected(vectors, dim)
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def _attention(logits: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(n, M): the softmax of `logits` (M,) among what is `there` (n, M); zeros where nothing is."""
    raw = np.exp(logits - logits.max()) * there
    return np.asarray(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-12))


def _left_out(
    point: np.ndarray, alike: Sequence[np.ndarray], there: np.ndarray, wanted: np.ndarray, ridge: float
) -> tuple[float, np.ndarray]:
    """The squared error of `wanted` (A, d), each row foretold by the others, and its gradient (M + 1,).

    `point` (M + 1,) are logits and the logarithm of the scale, `alike` M matrices (A, A), `there` (A, M).

    With the inverse G of the ridged kernel and a = G `wanted` the error of row i is a_i / G_ii; the matrix of
    derivatives by the kernel follows from dG = -G dK G.
    """
    shares, scale = _attention(point[:-1], there), float(np.exp(point[-1]))
    roots = np.sqrt(shares)
    parts = [scale * np.outer(roots[:, place], roots[:, place]) * one for place, one in enumerate(alike)]
    whole = np.sum(parts, axis=0)
    kernel = np.expm1(whole)
    kernel[np.diag_indices_from(kernel)] += ridge
    inverse = scipy.linalg.inv(kernel, overwrite_a=True, check_finite=False)
    own = np.diag(inverse)
    weights = inverse @ wanted
    squares = (weights**2).sum(axis=1)
    by_kernel = 2.0 * (inverse * (squares / own**3)) @ inverse
    by_kernel -= 2.0 * (inverse @ (weights / own[:, None] ** 2)) @ weights.T
    by_alike = by_kernel * np.exp(whole)
    by_alike = (by_alike + by_alike.T) / 2.0
    # A share moves its own root up and, for the sum stays one, all of the item's roots down.
    spread = (by_alike * whole).sum(axis=1)
    gradient = [float((by_alike * part).sum() - spread @ shares[:, place]) for place, part in enumerate(parts)]
    return float((squares / own**2).sum()), np.array([*gradient, float(spread.sum())])
