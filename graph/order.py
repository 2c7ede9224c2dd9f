"""The order of events: what tends to be met soon after what.

Counts of "j came k places after i" fade with k, discounted by how often both occur, so that a session read with a short
memory points at what comes next. Linear in the events, hence updated in place by each new one.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from graph.config import OrderConfig
from graph.dataset import Pairs
from graph.itemitem import strongest
from graph.kernels import Kernel
from graph.together import lagged, later_counts

DENSE_ITEMS = 6000
"""Up to this many items the matrices are kept dense, which is faster."""


def transitions(pairs: Pairs, reach: float) -> sp.csr_matrix:
    """(N, N): the faded number of times that the column's item came after the row's; dislikes are left out."""
    return lagged(pairs, int(3 * reach), lambda lag: float(np.exp(-(lag - 1) / reach)))


def order_kernels(pairs: Pairs, config: OrderConfig, ordered: bool = True) -> list[Kernel]:
    """The sources `next`, once per memory, `near`: what is met close to what, and `after`: what is met later at all.

    `earlier`, where the catalogue is small and events have times, adds to `after` for sessions of one event.
    """
    popularity = np.asarray(pairs.positive.sum(axis=0)).ravel() + 1.0
    forward = transitions(pairs, config.reach)
    follow = _discounted(forward, popularity, config.from_power, config.to_power)
    dense = pairs.shape[1] <= DENSE_ITEMS
    matrix = follow.toarray() if dense else strongest(follow, config.neighbours)
    del follow
    kernels = [
        Kernel(f"next_{number}", matrix=matrix, memory=memory) for number, memory in enumerate(config.memories, start=1)
    ]
    near = _discounted(forward + forward.T, popularity, config.from_power, config.from_power)
    del forward
    matrix = near.toarray() if dense else strongest(near, config.neighbours)
    kernels.append(Kernel("near", matrix=matrix))
    later, earlier = shares(pairs, config.after_shrink, dense)
    both = later + np.float32(config.before if ordered else 1.0) * earlier
    if not dense:
        return [*kernels, Kernel("after", matrix=strongest(both, config.neighbours), power=1.0)]
    kernels.append(Kernel("after", matrix=both, power=1.0))
    more = config.before_first - config.before
    if ordered and more > 0.0:
        # Who has one event has all else to come: what others met before it as well.
        kernels.append(Kernel("earlier", matrix=np.float32(more) * earlier, power=1.0, most=1))
    return kernels


def shares(pairs: Pairs, shrink: float, dense: bool) -> tuple[np.ndarray | sp.csr_matrix, np.ndarray | sp.csr_matrix]:
    """(N, N) float32 each: the share of those who met the row's item who met the column's later, and earlier.

    The mean over the events of a session foretells, from few events, what a person will meet in the long run. People
    with long histories count more here, since they have more pairs; that is as it should be, measured.
    """
    counts = later_counts(pairs, dense)
    people = np.asarray(pairs.positive.sum(axis=0)).ravel() + max(shrink, 1e-9)
    if dense:
        return (counts / people[:, None]).astype(np.float32), (counts.T / people[:, None]).astype(np.float32)
    each = sp.diags(1.0 / people)
    return (each @ counts).tocsr().astype(np.float32), (each @ counts.T).tocsr().astype(np.float32)


def _discounted(counts: sp.csr_matrix, popularity: np.ndarray, from_power: float, to_power: float) -> sp.csr_matrix:
    left, right = sp.diags(popularity**-from_power), sp.diags(popularity**-to_power)
    return (left @ counts @ right).tocsr().astype(np.float32)
