"""What rules of merchandising do to lists: pins take places, boosts and buries move scores, caps bound what is alike.

Scores are logarithms of odds, so that a boost by a factor f adds log f and a bury takes log f away: an item that was
as likely as another is f times as likely afterwards. The sum still falls apart into its parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from cluster.messages import ActiveRule

BOOSTED = 2_000
"""Boosted items that always compete where candidates are retrieved, of each rule: the most popular."""


@dataclass(frozen=True, eq=False)
class Shift:
    """Adds `by` to the scores of `members`, sorted numbers of items."""

    rule_id: str
    kind: str
    members: np.ndarray
    by: float


@dataclass(frozen=True, eq=False)
class Pin:
    """An item (its number) and its place in the list, from 0."""

    rule_id: str
    item: int
    place: int


@dataclass(frozen=True, eq=False)
class Cap:
    """Of each of C sets at most `most` items are shown; `members` (N, C) says who is in which."""

    rule_id: str
    members: sp.csr_matrix
    most: int


@dataclass(frozen=True, eq=False)
class Steering:
    """Rules as one version of the ranker reads them. Of two pins to a place the one that comes first has it."""

    shifts: tuple[Shift, ...] = ()
    pins: tuple[Pin, ...] = ()
    caps: tuple[Cap, ...] = ()

    @classmethod
    def of(cls, rules: Sequence[ActiveRule], number: Mapping[str, int]) -> Steering:
        """The rules for items with these numbers; items that have none are left out."""
        shifts, pins, caps = [], [], []
        for rule in rules:
            sets = tuple(_numbers(members, number) for members in rule.sets)
            if rule.kind == "pin":
                pins += [Pin(rule.rule_id, int(item), rule.number - 1) for members in sets for item in members]
            elif rule.kind == "cap":
                ends = np.cumsum([0, *map(len, sets)])
                columns = np.repeat(np.arange(len(sets)), np.diff(ends))
                places = (np.concatenate(sets), columns) if sets else (columns, columns)
                shape = (len(number), len(sets))
                caps.append(Cap(rule.rule_id, sp.csr_matrix((np.ones(len(columns)), places), shape=shape), rule.number))
            else:
                by = float(np.log(rule.factor)) * (1.0 if rule.kind == "boost" else -1.0)
                shifts += [Shift(rule.rule_id, rule.kind, members, by) for members in sets if len(members)]
        return cls(tuple(shifts), tuple(pins), tuple(caps))

    def __bool__(self) -> bool:
        return bool(self.shifts or self.pins or self.caps)

    def plus(self, other: Steering) -> Steering:
        """Both; of two pins to a place that of `self` has it."""
        if not self or not other:
            return self or other
        return Steering(self.shifts + other.shifts, self.pins + other.pins, self.caps + other.caps)

    def move(self, scores: np.ndarray) -> None:
        """Move the scores (N,) of all items, in place."""
        for shift in self.shifts:
            scores[shift.members] += shift.by

    def moves_of(self, items: np.ndarray) -> list[tuple[Shift, np.ndarray]]:
        """Of each shift, whether it moves each of the items (n,)."""
        return [(shift, contains(shift.members, items)) for shift in self.shifts]

    def always(self, popularity: np.ndarray) -> np.ndarray:
        """Items that compete wherever candidates are retrieved: what is pinned or boosted."""
        parts = [np.array([pin.item for pin in self.pins], dtype=np.int64)]
        for shift in self.shifts:
            if shift.by > 0:
                members = shift.members
                if len(members) > BOOSTED:
                    members = members[np.argpartition(-popularity[members], BOOSTED)[:BOOSTED]]
                parts.append(members)
        return np.unique(np.concatenate(parts))

    def touched(self, items: np.ndarray, placed: Mapping[int, str]) -> list[tuple[tuple[str, str], ...]]:
        """(id, kind) of the rules that had a say in each of the items (n,) of a list.

        That is its pin (`placed`: ids by item), the shifts of its score, and the caps among whose items it is.
        """
        found: list[list[tuple[str, str]]] = [
            [(placed[item], "pin")] if item in placed else [] for item in items.tolist()
        ]
        marks = [(shift.rule_id, shift.kind, inside) for shift, inside in self.moves_of(items)]
        marks += [(cap.rule_id, "cap", np.diff(cap.members[items].indptr) > 0) for cap in self.caps]
        for rule_id, kind, inside in marks:
            for place in np.flatnonzero(inside).tolist():
                found[place].append((rule_id, kind))
        return [tuple(rules) for rules in found]

    def room(self, pool: np.ndarray, shown: np.ndarray) -> Room | None:
        """What the caps leave for the items of a pool (M,) where others (m,) are shown already; None without caps."""
        parts, left = [], []
        for cap in self.caps:
            inside = cap.members[pool]
            used = np.unique(inside.indices)
            taken = np.bincount(cap.members[shown].indices, minlength=cap.members.shape[1])
            parts.append(inside[:, used])
            left.append(cap.most - taken[used])
        return Room(sp.hstack(parts, format="csr"), np.concatenate(left)) if parts else None


class Room:
    """Of each of C sets of places in a pool of M at most so many.

    Args:
        member: (M, C), who is in which set. left: (C,), how many of each may still be shown.
    """

    def __init__(self, member: sp.csr_matrix, left: np.ndarray) -> None:
        self._sets, self._places, self._left = member, member.tocsc(), left.copy()
        self.closed: np.ndarray = np.asarray(member @ (left <= 0)).astype(bool)
        """(M,): places that may not be shown any more."""

    def take(self, place: int) -> None:
        """The item at this place is shown."""
        sets, places = self._sets, self._places
        for number in sets.indices[sets.indptr[place] : sets.indptr[place + 1]].tolist():
            self._left[number] -= 1
            if self._left[number] <= 0:
                self.closed[places.indices[places.indptr[number] : places.indptr[number + 1]]] = True


NONE = Steering()


def contains(members: np.ndarray, items: np.ndarray) -> np.ndarray:
    """(n,): whether each of the items is among the sorted members."""
    if not len(members):
        return np.zeros(len(items), dtype=bool)
    places = np.minimum(np.searchsorted(members, items), len(members) - 1)
    return np.asarray(members[places] == items)


def _numbers(item_ids: frozenset[str], number: Mapping[str, int]) -> np.ndarray:
    found = [number[item_id] for item_id in item_ids if item_id in number]
    return np.array(sorted(found), dtype=np.int64)
