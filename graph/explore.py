"""Exploration: places of a list that are drawn at random among items of which little is known, with true propensities.

`explore` is the share of the list's places that are drawn. They are the last ones of the list as it would be; what is
drawn for them stands spread over the list. Drawn is among the `POOL` items with the greatest upper confidence bounds,
score + `BONUS` / sqrt(1 + people who met it + impressions), of that half of the catalogue that fewest people met: more
likely the greater the bound, and none with less than `FLOOR` of an even share, which bounds the weights 1 / propensity.

The draw is systematic sampling (Madow, 1949), by which the probability of each item to be drawn is exactly the one
that was set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POOL = 50
BONUS = 1.0
FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class Draw:
    """What a list explores: `order` are places in the list as it would be, and from its length on places in the pool.

    `propensity` (n,) goes with `order`.
    """

    order: np.ndarray
    propensity: np.ndarray


def bonus_of(tries: np.ndarray) -> np.ndarray:
    """What is added to scores of items that were tried so often: people who met them, and impressions.

    An impression that led to nothing tells as much of an item as one that led to something (Auer, Cesa-Bianchi and
    Fischer, "Finite-time analysis of the multiarmed bandit problem", 2002).
    """
    return np.asarray(BONUS / np.sqrt(1.0 + tries))


def draw(places: int, bounds: np.ndarray, explore: float, rng: np.random.Generator) -> Draw:
    """Draw for a list of so many places from a pool with these upper bounds (M,), disjoint from the list."""
    drawn = min(explore * places, float(places), float(len(bounds)))
    if drawn <= 0:
        return Draw(np.arange(places), np.ones(places))
    inside = np.clip(places - drawn - np.arange(places), 0.0, 1.0)
    chance = np.concatenate([inside, inclusion(bounds, drawn)])
    picked = systematic(chance, rng)
    kept, new = picked[picked < places], picked[picked >= places]
    new = new[np.argsort(-bounds[new - places], kind="stable")]
    order = kept.tolist()
    for number, place in enumerate(new.tolist()):
        order.insert((2 * number + 1) * places // (2 * len(new)), place)
    chosen = np.array(order, dtype=np.int64)
    return Draw(chosen, chance[chosen])


def inclusion(bounds: np.ndarray, drawn: float) -> np.ndarray:
    """(M,) probabilities that add up to `drawn`, none above 1."""
    weight = np.exp(bounds - bounds.max())
    weight = (1.0 - FLOOR) * weight / weight.sum() + FLOOR / len(bounds)
    chance = np.zeros(len(bounds))
    free = np.ones(len(bounds), dtype=bool)
    left = drawn
    while left > 1e-12 and free.any():
        share = left * weight[free] / weight[free].sum()
        full = np.flatnonzero(free)[share >= 1.0]
        if not len(full):
            chance[free] = share
            break
        chance[full] = 1.0
        free[full] = False
        left = drawn - chance.sum()
    return chance


def systematic(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sorted places, as many as `chance` (M,) adds up to, each drawn with exactly its chance, none twice."""
    order = rng.permutation(len(chance))
    ends = np.cumsum(chance[order])
    count = round(float(ends[-1]))
    marks = rng.random() + np.arange(count)
    places = np.minimum(np.searchsorted(ends, marks, side="right"), len(chance) - 1)
    return np.sort(order[places])
