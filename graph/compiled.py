"""The loops over events that ranking spends its time in, compiled by numba when they are first called.

Those here do what products of sparse by dense matrices do, in a third of the time: several rows are added at once, so
that sums are read and written less often, and nothing is gathered first. Those of `graph.compiled_reading` and
`graph.compiled_lists` do at once what would be a dozen calls of numpy, which take longer than their work where a batch
is small. What was compiled is kept beside the file, in the user's cache or in `NUMBA_CACHE_DIR`, the first of them
that can be written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Loop = TypeVar("Loop", bound=Callable[..., Any])


def summing(loop: Loop) -> Loop:
    """A long loop as machine code that runs beside the interpreter; sums may be taken in another order.

    There must be nothing in it that is not finite. Where nothing can be written each process compiles it anew, which
    takes seconds.
    """
    return _compiled(loop, nogil=True, fastmath=True)


def comparing(loop: Loop) -> Loop:
    """A short loop that may compare what is infinite. It keeps the interpreter's lock: to get it back takes longer."""
    return _compiled(loop)


def _compiled(loop: Loop, **options: bool) -> Loop:
    njit: Any = numba.njit
    try:
        found = njit(loop, cache=True, **options)
    except RuntimeError:  # there is no place for the cache
        found = njit(loop, **options)
    return cast(Loop, found)


@summing
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


@summing
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


@summing
def add_products(
    ends: np.ndarray,
    item: np.ndarray,
    weights: np.ndarray,
    matrix: np.ndarray,
    targets: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to `out` (P, n) the products of each event's row of `matrix` (M, d) and its session's `targets` (Q, n, d)."""
    for query in range(len(ends) - 1):
        of_query = targets[query]
        for event in range(ends[query], ends[query + 1]):
            by, row, total = weights[event], matrix[item[event]], out[event]
            for place in range(len(of_query)):
                target, product = of_query[place], np.float32(0.0)
                for part in range(len(row)):
                    product += row[part] * target[part]
                total[place] += by * product


@summing
def fold_in(ends: np.ndarray, met: np.ndarray, ground: np.ndarray, alpha: float, factors: np.ndarray) -> None:
    """Fill `factors` (Q, d, d) with the lower Cholesky factors of `ground` + alpha M'M.

    M are a session's rows of `met` (P, d).
    """
    for query in range(len(ends) - 1):
        rows = met[ends[query] : ends[query + 1]]
        system = ground.copy()
        if len(rows):
            system += np.float32(alpha) * np.dot(rows.T, rows)
        factors[query] = np.linalg.cholesky(system)


@summing
def solve_each(factors: np.ndarray, right: np.ndarray) -> None:
    """Put in place of each vector of `right` (Q, n, d) the solution of its session's system (see `fold_in`)."""
    size = factors.shape[1]
    for query in range(len(right)):
        lower, vectors = factors[query], right[query]
        for i in range(size):  # the vectors in the inner loop: their sums do not wait for each other
            row, by = lower[i], np.float32(1.0) / lower[i, i]
            for place in range(len(vectors)):
                x, known = vectors[place], np.float32(0.0)
                for j in range(i):
                    known += row[j] * x[j]
                x[i] = (x[i] - known) * by
        for i in range(size - 1, -1, -1):
            row, by = lower[i], np.float32(1.0) / lower[i, i]
            for place in range(len(vectors)):
                x = vectors[place]
                x[i] *= by
                value = x[i]
                for j in range(i):
                    x[j] -= row[j] * value
