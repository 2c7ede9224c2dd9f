"""From the scores of one query to the items of its list: pins, near duplicates, caps, diversity, exploration.

What is pinned is set aside, the rest is chosen by score or with `diversity`, the last places are drawn where the list
explores, and the pins take their places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cluster.messages import RankQuery
from graph import explore
from graph.rerank import Taste, diversify, in_order, raised
from graph.steering import Pin, Steering

SLACK = 8
"""Items that a plain list chooses from beyond those asked for, since twins may be among them."""
WIDE = 10
"""Where caps take items out, a list is chosen from so many times as many items as are asked for."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What may be shown: `items` (C,) numbers, sorted, and `scores` (C,), -inf for what may not."""

    items: np.ndarray
    scores: np.ndarray

    def find(self, item: int) -> int | None:
        """The place of an item that may be shown."""
        place = int(np.searchsorted(self.items, item))
        there = place < len(self.items) and self.items[place] == item and np.isfinite(self.scores[place])
        return place if there else None


@dataclass(frozen=True, eq=False)
class Chosen:
    """A list: `items` (n,) and `scores` (n,), best first.

    `propensity` (n,) and `bonus` (n,) are there where the list explores; `placed` names the rules of pinned items.
    """

    items: np.ndarray
    scores: np.ndarray
    propensity: np.ndarray | None = None
    bonus: np.ndarray | None = None
    placed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Chooser:
    """What choosing needs to know of all items.

    Args:
        vectors: gives the unit vectors (n, d) of items. twins: (N,) numbers, 0 for items without one, None if none
            has any. popularity: (N,) people who met an item. reach: (2, N), see `graph.reach`. pool: items that
            diversity chooses from. impressions: (N,), how often lists showed an item, None where nobody says.
    """

    vectors: Callable[[np.ndarray], np.ndarray]
    twins: np.ndarray | None
    popularity: np.ndarray
    reach: np.ndarray | None
    pool: int
    impressions: np.ndarray | None = None
    unknown: np.ndarray = field(init=False)
    """(N,): of which items little is known, compared with the others."""

    def __post_init__(self) -> None:
        middle = np.median(self.popularity) if len(self.popularity) else 0.0
        object.__setattr__(self, "unknown", self.popularity <= middle)

    def is_plain(self, query: RankQuery, steering: Steering) -> bool:
        """Whether the list is the best scores, but for twins."""
        return query.diversity <= 0 and query.explore <= 0 and not steering.pins and not steering.caps

    def distinct(self, items: np.ndarray, n: int) -> np.ndarray | None:
        """Places of the first n of a list without twins, None when there is nothing to leave out of its first n."""
        if self.twins is None:
            return None
        groups = self.twins[items]
        return np.array(in_order(n, len(items), groups), dtype=np.int64) if groups[:n].any() else None

    def choose(
        self,
        query: RankQuery,
        candidates: Candidates,
        steering: Steering,
        taste: Callable[[np.ndarray], Taste | None],
        times: float,
    ) -> Chosen:
        """The list of one query.

        Args:
            taste: gives the person's taste, with the categories of the items asked about. times: 1 for a session with
                times, 0 for one without.
        """
        pinned, placed = self._pinned(query, candidates, steering.pins)
        aside = list(pinned.values())
        base = self._base(query, candidates, steering, taste, times, aside)
        propensity: np.ndarray = np.ones(len(base))
        bonus = np.zeros(len(base), dtype=np.float32)
        order = np.array(base, dtype=np.int64)
        if query.explore > 0 and base:
            more, bounds = self._uncertain(candidates, steering, base, aside)
            drawn = explore.draw(len(base), bounds, query.explore, np.random.default_rng(query.seed))
            whole = np.concatenate([order, more])
            order, propensity = whole[drawn.order], drawn.propensity
            bonus = np.where(drawn.order < len(base), 0.0, self._bonus(candidates.items[order])).astype(np.float32)
        listed = list(zip(order.tolist(), propensity.tolist(), bonus.tolist(), strict=True))
        for place, pin in sorted(pinned.items()):
            listed.insert(place, (pin, 1.0, 0.0))
        chosen = np.array([entry[0] for entry in listed], dtype=np.int64)
        explored = query.explore > 0
        return Chosen(
            candidates.items[chosen],
            candidates.scores[chosen],
            np.array([entry[1] for entry in listed]) if explored else None,
            np.array([entry[2] for entry in listed], dtype=np.float32) if explored else None,
            placed,
        )

    def _pinned(
        self, query: RankQuery, candidates: Candidates, pins: Sequence[Pin]
    ) -> tuple[dict[int, int], dict[int, str]]:
        """Places in the list -> places in the candidates, and items -> rules: of each place and item the first pin."""
        pinned: dict[int, int] = {}
        placed: dict[int, str] = {}
        for pin in pins:
            at, place = pin.place - query.offset, candidates.find(pin.item)
            if place is not None and 0 <= at < query.n and at not in pinned and pin.item not in placed:
                pinned[at] = place
                placed[pin.item] = pin.rule_id
        return pinned, placed

    def _base(
        self,
        query: RankQuery,
        candidates: Candidates,
        steering: Steering,
        taste: Callable[[np.ndarray], Taste | None],
        times: float,
        aside: list[int],
    ) -> list[int]:
        """Places in the candidates of what is shown beside the pins."""
        n, diversity = query.n - len(aside), min(query.diversity, 1.0)
        worth = candidates.scores
        if diversity > 0 and self.reach is not None:
            lacks = times * self.reach[0] + (1.0 - times) * self.reach[1]
            worth = worth + raised(lacks[candidates.items], diversity)
        if aside:
            worth = worth.copy()
            worth[aside] = -np.inf
        size = n + len(aside) + SLACK if not steering.caps else WIDE * query.n
        if diversity > 0:
            size = max(size, self.pool, 5 * query.n)
        while True:
            places, values = _best(worth, size)
            items = candidates.items[places]
            whole = len(places) < size or size >= len(worth)
            if self.twins is not None and aside:
                apart = self._apart(items, candidates.items[aside])
                places, values, items = places[apart], values[apart], items[apart]
            groups = None if self.twins is None else self.twins[items]
            room = steering.room(items, candidates.items[aside])
            if diversity > 0 and len(places):
                chosen = diversify(values, self.vectors(items), n, diversity, taste(items), groups, room)
            else:
                chosen = in_order(n, len(places), groups, room)
            if len(chosen) >= n or whole:
                return [int(place) for place in places[chosen]]
            size = len(worth)

    def _uncertain(
        self, candidates: Candidates, steering: Steering, base: list[int], aside: list[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places of what may be drawn, and upper bounds of their scores: any of them may stand beside any other."""
        bounds = candidates.scores + self._bonus(candidates.items)
        bounds[~self.unknown[candidates.items]] = -np.inf
        bounds[base + aside] = -np.inf
        places, _ = _best(bounds, WIDE * explore.POOL)
        before = candidates.items[base + aside]
        items = candidates.items[places]
        if self.twins is not None:
            apart = self._apart(items, before)
            places, items = places[apart], items[apart]
        groups = None if self.twins is None else self.twins[items]
        fitting = in_order(explore.POOL, len(places), groups, steering.room(items, before))
        more = places[np.array(fitting, dtype=np.int64)]
        return more, bounds[more].astype(np.float64)

    def _apart(self, items: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """(n,): which of the items are no twin of one that is shown already."""
        assert self.twins is not None
        groups = self.twins[shown]
        return ~np.isin(self.twins[items], groups[groups != 0])

    def _bonus(self, items: np.ndarray) -> np.ndarray:
        tries = self.popularity[items]
        return explore.bonus_of(tries if self.impressions is None else tries + self.impressions[items])


def _best(worth: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (m,) of at most so many that are finite, best first, and their worth (m,)."""
    size = min(size, len(worth))
    places = np.arange(len(worth)) if size == len(worth) else np.argpartition(worth, -size)[-size:]
    places = places[np.argsort(-worth[places], kind="stable")]
    places = places[np.isfinite(worth[places])]
    return places, worth[places]
