"""The loops over events that ranking spends its time in, compiled by numba when they are first called.

Most do what products of sparse by dense matrices do, in a third of the time: several rows are added at once, so that
sums are read and written less often, and nothing is gathered first. Others do at once what would be a dozen calls of
numpy, which take longer than their work where a batch is small. What was compiled is kept beside this file, in the
user's cache or in `NUMBA_CACHE_DIR`, the first of them that can be written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Loop = TypeVar("Loop", bound=Callable[..., Any])


def _compiled(loop: Loop, fastmath: bool = True) -> Loop:
    """The loop as machine code. Where nothing can be written each process compiles it anew, which takes seconds.

    Args:
        fastmath: sums may be taken in another order, and there is nothing that is not finite.
    """
    try:
        found: Any = numba.njit(loop, nogil=True, fastmath=fastmath, cache=True)
    except RuntimeError:  # there is no place for the cache
        found = numba.njit(loop, nogil=True, fastmath=fastmath)
    return cast(Loop, found)


def _comparing(loop: Loop) -> Loop:
    """The same for a loop that compares what may be infinite."""
    return _compiled(loop, fastmath=False)


@_comparing
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


@_comparing
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


@_compiled
def add_rows(ends: np.ndarray, item: np.ndarray, weights: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Add to `out` (Q, N) the rows of `matrix` (M, N), of any kind of number, of each session's events.

    Session q has the events `ends[q]` to `ends[q + 1]`, of the rows `item` (P,) with `weights` (P,).
    """
    for query in range(len(ends) - 1):
        total = out[query]
        event, end = ends[query], ends[query + 1]
        while event < end and weights[event] == 0.0:  # what is forgotten comes first
            event += 1
        while event + 3 < end:
            row_0, row_1 = matrix[item[event]], matrix[item[event + 1]]
            row_2, row_3 = matrix[item[event + 2]], matrix[item[event + 3]]
            by_0, by_1, by_2, by_3 = weights[event], weights[event + 1], weights[event + 2], weights[event + 3]
            for place in range(len(total)):
                total[place] += (
                    by_0 * np.float32(row_0[place])
                    + by_1 * np.float32(row_1[place])
                    + by_2 * np.float32(row_2[place])
                    + by_3 * np.float32(row_3[place])
                )
            event += 4
        while event < end:
            row, by = matrix[item[event]], weights[event]
            for place in range(len(total)):
                total[place] += by * np.float32(row[place])
            event += 1


@_compiled
def add_entries(
    ends: np.ndarray, item: np.ndarray, weights: np.ndarray, matrix: np.ndarray, chosen: np.ndarray, out: np.ndarray
) -> None:
    """Add to `out` (P, n) what each event carries of its session's columns of `chosen` (Q, n)."""
    for query in range(len(ends) - 1):
        columns = chosen[query]
        for event in range(ends[query], ends[query + 1]):
            by = weights[event]
            if by != 0.0:
                row, total = matrix[item[event]], out[event]
                for place in range(len(columns)):
                    total[place] += by * np.float32(row[columns[place]])


@_compiled
def add_products(ends: np.ndarray, rows: np.ndarray, weights: np.ndarray, targets: np.ndarray, out: np.ndarray) -> None:
    """Add to `out` (P, n) the products of the events' `rows` (P, d) with their session's of `targets` (Q, n, d)."""
    for query in range(len(ends) - 1):
        of_query = targets[query]
        for event in range(ends[query], ends[query + 1]):
            by, row, total = weights[event], rows[event], out[event]
            for place in range(len(of_query)):
                target, product = of_query[place], np.float32(0.0)
                for part in range(len(row)):
                    product += row[part] * target[part]
                total[place] += by * product


@_comparing
def best_places(scores: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Fill `places` (Q, n) and `values` (Q, n) with the greatest scores of each row of `scores` (Q, N), greatest first.

    Of equal ones the first stands first. What is not finite is not found: its place stays what it was, its value too.
    """
    size = places.shape[1]
    for row in range(len(scores)):
        of_row, best, value = scores[row], places[row], values[row]
        found, least = 0, np.float32(-np.inf)
        for place in range(len(of_row)):
            score = of_row[place]
            if score > least and score < np.inf:
                at = found if found < size else size - 1
                while at > 0 and value[at - 1] < score:
                    value[at], best[at] = value[at - 1], best[at - 1]
                    at -= 1
                value[at], best[at] = score, place
                if found < size:
                    found += 1
                if found == size:
                    least = value[size - 1]


@_comparing
def strongest(ends: np.ndarray, parts: np.ndarray, told: np.ndarray, weights: np.ndarray, events: np.ndarray) -> None:
    """Of the parts (P, n) that each session's events carry of its n items, the greatest for each item, greatest first.

    `weights` (Q, n, c) and `events` (Q, n, c) are filled for the first `told` (Q,) items of a session; where there are
    fewer than c events the rest stays as it was.
    """
    count = weights.shape[2]
    for query in range(len(ends) - 1):
        for place in range(told[query]):
            weight, event = weights[query, place], events[query, place]
            found = 0
            for row in range(ends[query], ends[query + 1]):
                part = parts[row, place]
                if found == count and part <= weight[count - 1]:
                    continue
                at = found if found < count else count - 1
                while at > 0 and weight[at - 1] < part:
                    weight[at], event[at] = weight[at - 1], event[at - 1]
                    at -= 1
                weight[at], event[at] = part, row
                if found < count:
                    found += 1


@_comparing
def put_together(
    ends: np.ndarray,
    item: np.ndarray,
    told: np.ndarray,
    weights: np.ndarray,
    events: np.ndarray,
    biases: np.ndarray,
    rest: np.ndarray,
    unmet: np.ndarray,
    least: float,
    counts: np.ndarray,
    kinds: np.ndarray,
    found: np.ndarray,
    who: np.ndarray,
) -> int:
    """The parts of the scores of Q lists, greatest first, one place after the other; how many there are.

    Of each place: `weights` (Q, n, c) that `events` (Q, n, c) carried, each a kind of its own from 0; `biases`
    (Q, n, b), kinds from c on; and `rest` (Q, n), the next kind, unless it is `least` or less. For an item of `unmet`
    (Q, n) the kind of biases is the last one. What is 0 is left out. `counts` (Q, n) of the parts of the first `told`
    (Q,) places of each list, and `kinds`, `found` (weights) and `who` (items, -1 for none) of all parts are filled.
    """
    carried, shared = weights.shape[2], biases.shape[2]
    made = 0
    for query in range(len(told)):
        for place in range(told[query]):
            first = made
            for part in range(carried + shared + 1):
                number, kind, value = -1, part, np.float64(0.0)
                if part < carried:
                    if weights[query, place, part] > 0.0 and events[query, place, part] >= 0:
                        number, value = item[events[query, place, part]], weights[query, place, part]
                elif part < carried + shared:
                    value = biases[query, place, part - carried]
                    if unmet[query, place]:
                        kind = carried + shared + 1
                elif abs(rest[query, place]) > least:
                    value = rest[query, place]
                if value == 0.0:
                    continue
                at = made
                while at > first and found[at - 1] < value:
                    found[at], kinds[at], who[at] = found[at - 1], kinds[at - 1], who[at - 1]
                    at -= 1
                found[at], kinds[at], who[at] = value, kind, number
                made += 1
            counts[query, place] = made - first
    return made
