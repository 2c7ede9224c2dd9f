"""Reading views: ids and event types become numbers and strengths, for a whole batch at once.

Views of stored sessions come as codes (`cluster.coded`): one look-up in a table turns the codes of all of them into the
ranker's numbers. The tables are made once for a table of words, and grow with it. Views made of ids, as jobs and
anonymous sessions have them, go the slow way and meet the others behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, repeat
from weakref import WeakKeyDictionary

import numpy as np

from cluster.coded import EVENT, StoredView, Words, makes_seen
from cluster.messages import SessionView
from graph.compiled_reading import once
from graph.kernels import Sessions
from graph.weights import EventWeights

STRENGTHS = 10_000
"""Strengths of events that are remembered by type and value."""
LEAST = 1e-6
"""Events that count less than this tell nothing."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What the model reads of Q views.

    `met` (M,) are numbers of items that somebody has met, `met_by` (M,) the views they belong to, in order.
    """

    sessions: Sessions
    met: np.ndarray
    met_by: np.ndarray


class Reader:
    """Belongs to one set of numbers. Safe to share between threads.

    Args:
        number: of each item id, below `size`. weights: of events. bound: what the events of a person with one item add
            up to at most, or the strongest of them.
    """

    def __init__(self, number: Mapping[str, int], weights: EventWeights, bound: float) -> None:
        self._number = number
        self._size = max(len(number), 1)
        self._weights = weights
        self._bound = float(np.float32(bound))
        self._tables: WeakKeyDictionary[Words, np.ndarray] = WeakKeyDictionary()
        self._strengths: dict[tuple[str, float | None], float] = {}

    def read(self, views: Sequence[SessionView], timed: float = 1.0) -> Reading:
        """Known items of each view, each once at its last event, strengths added up; and what was met.

        `timed` is the share by which a session with times counts as one (see `Sessions.times`).
        """
        columns = [
            self._plain(list(run)) if words is None else self._stored(list(run), words)  # type: ignore[arg-type]
            for words, run in groupby(views, key=_words)
        ]
        if not columns:
            nothing = np.empty(0, np.int64)
            return Reading(Sessions.join([], np.empty(0)), nothing, nothing)
        lengths, item, strength, times = (_joined(parts) for parts in zip(*[part[:4] for part in columns], strict=True))
        met, counts = (_joined(parts) for parts in zip(*[part[4:] for part in columns], strict=True))
        met_by = np.repeat(np.arange(len(views)), counts)
        offsets = np.empty(len(views) + 1, dtype=np.int64)
        items, strengths = np.empty(len(item), dtype=np.int64), np.empty(len(item), dtype=np.float32)
        made = once(ends_of(lengths), item, strength, LEAST, self._bound, offsets, items, strengths)
        return Reading(Sessions(offsets, items[:made], strengths[:made], times * timed), met, met_by)

    def numbers(self, item_ids: Sequence[str] | frozenset[str]) -> np.ndarray:
        """Those of the known ones among these ids."""
        found = np.fromiter(map(self._number.get, item_ids, repeat(-1)), np.int64, len(item_ids))
        return found[found >= 0]

    def _stored(self, views: list[StoredView], words: Words) -> tuple[np.ndarray, ...]:
        events = views[0].events
        if len(views) > 1:  # as bytes: numpy joins records of several fields one by one
            events = np.concatenate([view.events.view(np.uint8) for view in views]).view(EVENT)
        lengths = np.array([len(view.events) for view in views])
        item = self._table(words)[events["item"]]
        kinds, values = np.array(events["type"]), np.array(events["value"])  # copies: loops are compiled for one layout
        names = tuple(words.types)
        strength = self._weights.of_coded(kinds, names, values)
        ends = ends_of(lengths)
        times = counted(ends, events["ms"] != 0) > 0
        counts = makes_seen(kinds, names) & (item >= 0)
        return lengths, item, strength, times, item[counts], counted(ends, counts)

    def _plain(self, views: list[SessionView]) -> tuple[np.ndarray, ...]:
        pairs = list(chain.from_iterable([zip(view.types, view.values, strict=True) for view in views]))
        known = self._strengths
        if None in (strengths := list(map(known.get, pairs))):
            if len(known) >= STRENGTHS:
                known.clear()
            found = {pair: self._weights.one(*pair) for pair in set(pairs)}
            known.update(found)
            strengths = [found[pair] for pair in pairs]
        ids = chain.from_iterable([view.items for view in views])
        met = [self.numbers(view.seen) for view in views]
        return (
            np.array([len(view.items) for view in views]),
            np.fromiter(map(self._number.get, ids, repeat(-1)), np.int64, len(pairs)),
            np.array(strengths, dtype=np.float32),
            np.array([any(view.timestamps_ms) for view in views]),
            np.concatenate(met),
            np.array([len(numbers) for numbers in met]),
        )

    def _table(self, words: Words) -> np.ndarray:
        """The number of each code; -1 for unknown items."""
        table = self._tables.get(words)
        ids = words.items
        have = 0 if table is None else len(table)
        if table is None or have < len(ids):
            more = ids[have:]
            new = np.fromiter(map(self._number.get, more, repeat(-1)), np.int64, len(more))
            table = self._tables[words] = new if table is None else np.concatenate([table, new])
        return table


def _words(view: SessionView) -> Words | None:
    return view.words if isinstance(view, StoredView) else None


def ends_of(lengths: np.ndarray) -> np.ndarray:
    """(Q + 1,): where each of so many views begins, and the last one ends."""
    ends = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def counted(ends: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """(Q,): how many of each view's events are marked, of `marks` (E,)."""
    sums = np.zeros(len(marks) + 1, dtype=np.int64)
    np.cumsum(marks, out=sums[1:])
    return np.asarray(np.diff(sums[ends]))


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
