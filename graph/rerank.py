"""Which of the good items make the list: different ones, ones that few lists show, and the person's mixture of tastes.

`diversity`, from 0 to 1, gives a strength s, which does three things to the scores, logarithms of odds:

- what hardly any list would show is raised, by what it lacks to stand in the list of those whom it suits best, up to
  `RAISE` s: the shadow price of a coverage of the catalogue (`graph.reach`);
- what is like an item that is in the list already loses `ALIKE` s times the likeness: maximal marginal relevance
  (Carbonell and Goldstein, SIGIR 1998);
- what brings the list's categories nearer to those of the session gains `TASTE` s (1 - diversity) times as much:
  calibration (Steck, RecSys 2018). A list that is to be as mixed as can be follows nobody's taste.

With or without it, of items that are nearly the same one is shown, and caps are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graph.steering import Room

RAISE = 1.8
ALIKE = 0.6
TASTE = 0.7
ENOUGH = 1.05
"""Strength is d / (ENOUGH - d): much the same as d for a small one, and so great at 1 that relevance hardly counts."""
SMOOTHING = 0.01


@dataclass(frozen=True, eq=False)
class Taste:
    """`wanted` (G,) shares of the person's categories, adding up to 1; `categories` (M, G) of the pool's items.

    Categories that the person does not want at all may be left out: they say nothing of the divergence.
    """

    wanted: np.ndarray
    categories: np.ndarray


def strength(diversity: float) -> float:
    """See the module."""
    return diversity / (ENOUGH - diversity)


def raised(lacks: np.ndarray, diversity: float) -> np.ndarray:
    """(n,): what `diversity` adds to the scores of items that lack so much (n,)."""
    return np.asarray(np.minimum(lacks, np.float32(RAISE * strength(diversity))))


def diversify(
    scores: np.ndarray,
    vectors: np.ndarray,
    n: int,
    diversity: float,
    taste: Taste | None = None,
    twins: np.ndarray | None = None,
    room: Room | None = None,
) -> list[int]:
    """Places of n items in the pool, best first, fewer where the pool or the caps allow no more.

    Args:
        scores: (M,). vectors: unit vectors (M, d) that tell how alike items are.
        twins: (M,) equal numbers for items that are nearly the same, 0 for those that are like no other.
    """
    likeness = np.zeros(len(scores), dtype=np.float32)
    value = scores.astype(np.float64)
    shown = None if taste is None else np.zeros(len(taste.wanted))
    chosen: list[int] = []
    force = strength(diversity)
    while len(chosen) < n:
        worth = value - ALIKE * force * likeness
        if taste is not None and shown is not None:
            worth += TASTE * force * (1.0 - diversity) * _fit(taste, shown, len(chosen))
        if room is not None:
            worth[room.closed] = -np.inf
        pick = int(worth.argmax())
        if worth[pick] == -np.inf:
            break
        chosen.append(pick)
        value[pick] = -np.inf
        if twins is not None and twins[pick]:
            value[twins == twins[pick]] = -np.inf
        np.maximum(likeness, vectors @ vectors[pick], out=likeness)
        if room is not None:
            room.take(pick)
        if taste is not None and shown is not None:
            shown += taste.categories[pick]
    return chosen


def in_order(n: int, count: int, twins: np.ndarray | None = None, room: Room | None = None) -> list[int]:
    """The first n places of a pool of `count` in order, without twins of earlier ones and as far as the caps allow."""
    if room is None and (twins is None or not twins.any()):
        return list(range(min(n, count)))
    chosen: list[int] = []
    taken: set[int] = set()
    groups = [0] * count if twins is None else twins.tolist()
    for place in range(count):
        if len(chosen) == n:
            break
        if groups[place] in taken or (room is not None and room.closed[place]):
            continue
        chosen.append(place)
        if groups[place]:
            taken.add(groups[place])
        if room is not None:
            room.take(place)
    return chosen


def _fit(taste: Taste, shown: np.ndarray, count: int) -> np.ndarray:
    """(M,): how near the list's categories are to the wanted ones with each item added; minus the divergence."""
    share = np.float32((1.0 - SMOOTHING) / (count + 1))
    mixed = taste.categories * share + (shown * share + SMOOTHING * taste.wanted).astype(np.float32)
    return np.asarray(np.log(mixed) @ taste.wanted)
