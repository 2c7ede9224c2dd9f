"""Caps with many sets: what they leave, and that they cost little."""

from __future__ import annotations

import time

import numpy as np

from cluster.messages import ActiveRule
from graph.rerank import in_order
from graph.steering import Steering


def test_room_counts_what_is_shown_and_closes_sets() -> None:
    number = {str(n): n for n in range(6)}
    caps = (
        ActiveRule("a", "cap", (frozenset("012"), frozenset("23")), number=1),
        ActiveRule("b", "cap", (frozenset("45"),), number=2),
        ActiveRule("c", "cap", (), number=1),
    )
    steering = Steering.of(caps, number)
    room = steering.room(np.array([0, 2, 3, 4, 5]), np.array([1, 4]))
    assert room is not None
    assert room.closed.tolist() == [True, True, False, False, False]
    room.take(3)  # item 4
    assert room.closed.tolist() == [True, True, False, True, True]
    assert steering.room(np.array([], dtype=np.int64), np.array([], dtype=np.int64)) is not None
    assert Steering.of((), number).room(np.arange(6), np.arange(0)) is None


def test_ten_thousand_sets_over_twenty_thousand_items_take_milliseconds() -> None:
    items = 20_000
    number = {str(n): n for n in range(items)}
    sets = tuple(frozenset((str(n), str(n + 1))) for n in range(0, items, 2))
    steering = Steering.of((ActiveRule("a", "cap", sets, number=1),), number)
    pool = np.random.default_rng(0).permutation(items)
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        room = steering.room(pool[:200], pool[:0])
        chosen = pool[in_order(50, 200, None, room)]
        best = min(best, time.process_time() - began)
    assert len(set((chosen // 2).tolist())) == 50
    assert best < 0.02
    room = steering.room(pool, pool[:0])
    assert len(in_order(items, items, None, room)) == items // 2
