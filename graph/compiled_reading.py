"""Loops over the events of sessions that are being read, compiled (see `graph.compiled`)."""

from __future__ import annotations

import numpy as np

from graph.compiled import comparing


@comparing
def once(
    ends: np.ndarray,
    item: np.ndarray,
    strength: np.ndarray,
    least: float,
    bound: float,
    new_ends: np.ndarray,
    new_item: np.ndarray,
    new_strength: np.ndarray,
) -> int:
    """Each item (0 and more) once in a session, where it was met last, its strengths added up; how many that makes.

    Events that count less than `least` are left out, before and after. The sum is `bound` at most, or as much as the
    strongest of them. What comes out is put into `new_item` and `new_strength`, from the beginning, its ends into
    `new_ends`.
    """
    longest = 1
    for query in range(len(ends) - 1):
        longest = max(longest, ends[query + 1] - ends[query])
    size = 2
    while size < 2 * longest:
        size *= 2
    slots = np.empty(size, np.int64)  # a hash table of the session's items: the first event of each
    first_of, newest = np.empty(longest, np.int64), np.empty(longest, np.int64)
    totals, greatest = np.empty(longest, np.float32), np.empty(longest, np.float32)
    made = 0
    new_ends[0] = 0
    for query in range(len(ends) - 1):
        start, count = ends[query], ends[query + 1] - ends[query]
        slots[:] = -1
        for event in range(count):
            number, by = item[start + event], strength[start + event]
            first_of[event] = -1
            if number < 0 or abs(by) <= least:
                continue
            slot = (number * 2654435761) & (size - 1)
            while slots[slot] >= 0 and item[start + slots[slot]] != number:
                slot = (slot + 1) & (size - 1)
            if slots[slot] < 0:
                slots[slot] = event
                totals[event] = greatest[event] = np.float32(0.0)
            first = slots[slot]
            totals[first] += by
            greatest[first] = max(greatest[first], abs(by))
            first_of[event], newest[first] = first, event
        for event in range(count):
            first = first_of[event]
            if first >= 0 and newest[first] == event:
                most = max(greatest[first], bound)
                total = min(max(totals[first], -most), most)
                if abs(total) > least:
                    new_item[made], new_strength[made] = item[start + event], total
                    made += 1
        new_ends[query + 1] = made
    return made


@comparing
def rate(
    kinds: np.ndarray,
    values: np.ndarray,
    rating: int,
    low: float,
    span: float,
    floor: float,
    top: float,
    out: np.ndarray,
) -> None:
    """Multiply `out` (E,) of the events of the kind `rating` that have a value by the value's place on the scale.

    That is from `floor` for `low` and below to `top` for `low + span` and above.
    """
    for event in range(len(out)):
        value = values[event]
        if kinds[event] == rating and value == value:
            place = min(max((value - low) / span, 0.0), 1.0) if span > 0.0 else 1.0
            out[event] *= floor + (top - floor) * place


@comparing
def weigh(
    ends: np.ndarray, strength: np.ndarray, memory: float, power: float, most: float, full: float, least: float
) -> np.ndarray:
    """(P,): what each session's events of these strengths weigh for a source (see `graph.kernels`).

    Of an event that stands k places before the newest `exp(-k / memory)` is left, and nothing below `least`; an event
    counts as `full` at most in the sum of which a `power` is the measure. Sessions of more than `most` events weigh
    nothing.
    """
    out = np.zeros(len(strength), np.float32)
    for query in range(len(ends) - 1):
        start, end = ends[query], ends[query + 1]
        if end - start > most:
            continue
        total = 0.0
        for event in range(end - 1, start - 1, -1):
            left = np.float32(np.exp((end - 1 - event) / -memory)) if memory < np.inf else np.float32(1.0)
            if left < least:
                break
            out[event] = strength[event] * left
            total += min(abs(strength[event]), full) * left
        measure = max(total, 1e-9) ** power
        for event in range(start, end):
            out[event] = out[event] / measure
    return out


@comparing
def add_gated(ends: np.ndarray, weights: np.ndarray, gates: np.ndarray, into: np.ndarray) -> None:
    """Add to `into` (P,) the weights (P,) of the events times the gate of their session, of `gates` (Q,)."""
    for query in range(len(ends) - 1):
        for event in range(ends[query], ends[query + 1]):
            into[event] += weights[event] * gates[query]
