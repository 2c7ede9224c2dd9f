"""Where items that nobody met stand among the others, and by what: their order, how far apart they are, their level.

Of such an item its content foretells what it would be like (`graph.content`). By most sources that says too little: it
stands where the mean of the anchors does. It stands out by the factorisation, and by `likeness` (`graph.likeness`),
which order new items best, in fixed proportions.

How far, and from what level, is another question: a new item is to stand in a list among items that are known. What is
foretold differs less from item to item than what is known, and how much less depends on how much of a person is known,
as what each source counts does. So the gate `UNMET` stretches it to a share of what known items differ by, measured on
items that are taken for new in the divisions that the weights are learnt on. Items that came after the version was made
begin above the mean, by the gate `NEW`; of the others it is known that nobody met them yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from graph.config import GraphConfig
from graph.content import ContentMap, fit_content_map
from graph.fresh import strongest_anchors
from graph.kernels import Kernel
from graph.likeness import LIKENESS, likeness_kernel
from graph.modalities import Carried, carried
from graph.model import NEW, UNMET, Gate, context
from graph.splits import Split
from graph.weighing import Weighed, sampled

SHARE = 0.2
"""Share of the items that is taken for new."""
MOST_ITEMS = 1000
MOST_SESSIONS = 1000
FEWEST = 20
"""With fewer items that are taken for new, or sessions, nothing is learnt."""
ALIKE = 0.5
"""What likeness tells new items apart by, relative to what the factorisation does."""
SPREAD = 0.4
"""What new items differ by, as a share of what known ones do: the slope with which what an item would score, were it
known, follows what is foretold (0.31 to 0.45 where it was measured)."""
LEVEL = 0.4
"""How far above the mean items begin that came after the version, in standard deviations of the known ones' scores: the
mean of scores is not where an item stands of which one does not know whether it is good."""
NEVER = -30.0
"""Logarithm of the share of a source by which new items do not stand out."""
DENSE_ITEMS = 20_000
"""Up to this many items there is `likeness`."""
KNOWN_ITEMS = 2000
"""Known items, drawn at random, whose scores tell how much they differ."""
RIDGE = 1e-3


class Foretelling(Weighed, Protocol):
    """Sources by which new items are expressed, too."""

    @property
    def content(self) -> ContentMap | None:
        """Expresses items by what is known of them."""


@dataclass(frozen=True, eq=False)
class _Case:
    """Of sessions of which `context` says `seen` (Q, 2): by how much the scores of known items differ, `known` (Q,).

    `factors` and `likeness` (Q, n) are what the two say of items that are taken for new.
    """

    seen: np.ndarray
    known: np.ndarray
    factors: np.ndarray
    likeness: np.ndarray


def learn_unmet(
    parts: Sequence[tuple[Foretelling, Split]],
    gates: Mapping[str, Gate],
    hashed: np.ndarray,
    text: np.ndarray | None,
    config: GraphConfig,
    vectors: Carried | None = None,
) -> dict[str, Gate]:
    """The gates with what each source counts for items that nobody met, and those of `LIKENESS`, `UNMET` and `NEW`.

    Args:
        parts: as of `graph.weighing.weigh`. hashed: (N, F), text: (N, T) or None, what is known of the items.
        vectors: (N, D) by the owner's name.
    """
    if "factors" not in gates:
        return dict(gates)
    made = (
        _case(*part, gates, hashed, text, config, config.seed + place, vectors or {})
        for place, part in enumerate(parts)
    )
    cases = [case for case in made if case is not None]
    if not cases:
        return dict(gates)
    found = {name: replace(gate, unmet=0.0 if name == "factors" else NEVER) for name, gate in gates.items()}
    apart = [case.factors for case in cases]
    likeness = np.mean([case.likeness.std(axis=1).mean() for case in cases])
    share = 0.0
    if likeness > 0:
        share = ALIKE * float(np.mean([values.std(axis=1).mean() for values in apart]) / likeness)
        apart = [case.factors + share * case.likeness for case in cases]
    seen, known = (np.concatenate([getattr(case, name) for case in cases]) for name in ("seen", "known"))
    new = np.concatenate([values.std(axis=1) for values in apart])
    told = new > new.max() * 1e-6  # sessions without events are told nothing
    if not told.any():
        return dict(gates)
    whole = _fitted(seen[told], np.log(SPREAD * known[told] / new[told]))
    found |= {UNMET: _over(whole, gates["factors"]), NEW: _fitted(seen, np.log(LEVEL * known))}
    if share > 0:
        found[LIKENESS] = replace(whole, level=whole.level + float(np.log(share)))
    return found


def _case(
    sources: Foretelling,
    split: Split,
    gates: Mapping[str, Gate],
    hashed: np.ndarray,
    text: np.ndarray | None,
    config: GraphConfig,
    seed: int,
    vectors: Carried,
) -> _Case | None:
    told = np.any([np.abs(array).sum(axis=1) > 0 for array in carried(hashed, text, vectors).values()], axis=0)
    rng, met = np.random.default_rng(seed), sources.popularity > 0
    possible = rng.permutation(np.flatnonzero(told & met))
    new = np.sort(possible[: min(MOST_ITEMS, round(SHARE * len(possible)))])
    if len(split.users) > MOST_SESSIONS:
        split = sampled(split, MOST_SESSIONS, seed)
    if len(new) < FEWEST or len(split.users) < FEWEST:
        return None
    taken = np.zeros(len(met), dtype=bool)
    taken[new] = True
    sessions = replace(split, visible=split.visible.take(~taken[split.visible.item])).sessions()
    seen, settings = context(sessions), config.content
    known = np.sort(rng.permutation(np.flatnonzero(met & ~taken))[:KNOWN_ITEMS])
    if not len(known):
        return None
    candidates = np.broadcast_to(known, (len(sessions), len(known)))
    total = np.zeros(candidates.shape, dtype=np.float32)
    for kernel in sources.kernels:
        total += kernel.scores_at(sessions, candidates) * gates[kernel.name](seen)[:, None]
    for bias in sources.biases:
        total += bias.values[known] * gates[bias.name](seen)[:, None]
    fusion = None if sources.content is None else sources.content.fusion
    popularity = sources.popularity * ~taken
    mapping = fit_content_map(hashed, text, popularity, settings.ridge, settings.max_anchor_items, vectors, fusion)
    of_new = {name: array[new] for name, array in vectors.items()}
    weights = mapping.express(hashed[new], None if text is None else text[new], of_new)
    anchors = np.broadcast_to(mapping.anchors, (len(sessions), len(mapping.anchors)))

    def foretold(kernel: Kernel, carried: np.ndarray) -> np.ndarray:
        return np.asarray(kernel.scores_at(sessions, anchors) @ carried.T, dtype=np.float32)

    factors = foretold(next(kernel for kernel in sources.kernels if kernel.name == "factors"), weights)
    likeness = np.zeros_like(factors)
    if len(met) <= DENSE_ITEMS:
        strongest = strongest_anchors(mapping.anchors, weights, len(met))[:, mapping.anchors].toarray()
        likeness = foretold(likeness_kernel(len(met)), strongest)
    return _Case(seen, np.maximum(total.std(axis=1), 1e-9), factors, likeness)


def _fitted(seen: np.ndarray, logarithms: np.ndarray) -> Gate:
    """The gate without bends nearest to these logarithms (Q,) of weights; of the sessions `context` says `seen` (Q, 2).

    A bend would say too much of sessions longer than these.
    """
    found = {}
    for still in (False, True):
        rows = np.flatnonzero((seen[:, 1] > 0) == still)
        if len(rows):
            x = seen[rows, 0]
            basis = np.stack([np.ones_like(x), x], axis=1)
            found[still] = np.linalg.solve(basis.T @ basis + RIDGE * len(rows) * np.eye(2), basis.T @ logarithms[rows])
    timed = found.get(False, found.get(True))
    assert timed is not None
    still_more = found.get(True, timed) - timed
    return Gate(float(timed[0]), float(timed[1]), still=float(still_more[0]), still_slope=float(still_more[1]))


def _over(gate: Gate, other: Gate) -> Gate:
    """The gate whose weights are those of the one over those of the other."""
    return Gate(
        gate.level - other.level, gate.slope - other.slope, gate.bend - other.bend,
        gate.still - other.still, gate.still_slope - other.still_slope, gate.still_bend - other.still_bend,
    )  # fmt: skip
