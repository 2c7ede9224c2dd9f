"""The loops over events that ranking spends its time in, compiled by numba when they are first called.

They do what products of sparse by dense matrices do, in a third of the time: several rows are added at once, so that
sums are read and written less often, and nothing is gathered first. What was compiled is kept beside this file, in the
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


@_compiled
def add_rows(ends: np.ndarray, item: np.ndarray, weights: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Add to `out` (Q, N) the rows of `matrix` (M, N) of each session's events.

    Session q has the events `ends[q]` to `ends[q + 1]`, of the rows `item` (P,) with `weights` (P,).
    """
    for query in range(len(ends) - 1):
        total = out[query]
        event, end = ends[query], ends[query + 1]
        while event + 3 < end:
            row_0, row_1 = matrix[item[event]], matrix[item[event + 1]]
            row_2, row_3 = matrix[item[event + 2]], matrix[item[event + 3]]
            by_0, by_1, by_2, by_3 = weights[event], weights[event + 1], weights[event + 2], weights[event + 3]
            for place in range(len(total)):
                total[place] += by_0 * row_0[place] + by_1 * row_1[place] + by_2 * row_2[place] + by_3 * row_3[place]
            event += 4
        while event < end:
            row, by = matrix[item[event]], weights[event]
            for place in range(len(total)):
                total[place] += by * row[place]
            event += 1


@_compiled
def add_scaled_rows(
    ends: np.ndarray,
    item: np.ndarray,
    weights: np.ndarray,
    matrix: np.ndarray,
    scale: np.ndarray,
    out: np.ndarray,
) -> None:
    """The same for a matrix of whole numbers whose rows are to be multiplied by `scale` (M,)."""
    for query in range(len(ends) - 1):
        total = out[query]
        event, end = ends[query], ends[query + 1]
        while event + 3 < end:
            item_0, item_1, item_2, item_3 = item[event], item[event + 1], item[event + 2], item[event + 3]
            row_0, row_1, row_2, row_3 = matrix[item_0], matrix[item_1], matrix[item_2], matrix[item_3]
            by_0, by_1 = weights[event] * scale[item_0], weights[event + 1] * scale[item_1]
            by_2, by_3 = weights[event + 2] * scale[item_2], weights[event + 3] * scale[item_3]
            for place in range(len(total)):
                total[place] += (
                    by_0 * np.float32(row_0[place])
                    + by_1 * np.float32(row_1[place])
                    + by_2 * np.float32(row_2[place])
                    + by_3 * np.float32(row_3[place])
                )
            event += 4
        while event < end:
            row, by = matrix[item[event]], weights[event] * scale[item[event]]
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
                    total[place] += by * row[columns[place]]


@_compiled
def add_scaled_entries(
    ends: np.ndarray,
    item: np.ndarray,
    weights: np.ndarray,
    matrix: np.ndarray,
    scale: np.ndarray,
    chosen: np.ndarray,
    out: np.ndarray,
) -> None:
    """The same for a matrix of whole numbers whose rows are to be multiplied by `scale` (M,)."""
    for query in range(len(ends) - 1):
        columns = chosen[query]
        for event in range(ends[query], ends[query + 1]):
            by = weights[event] * scale[item[event]]
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
