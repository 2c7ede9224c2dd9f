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


def _compiled(loop: Loop) -> Loop:
    """The loop as machine code. Where nothing can be written each process compiles it anew, which takes seconds."""
    try:
        found: Any = numba.njit(loop, nogil=True, fastmath=True, cache=True)
    except RuntimeError:  # there is no place for the cache
        found = numba.njit(loop, nogil=True, fastmath=True)
    return cast(Loop, found)


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
