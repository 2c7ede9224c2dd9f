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
    counts = later_counts(pairs, dense)
    before = config.before if ordered else 1.0
    matrix = share(counts + before * counts.T, pairs, config.after_shrink)
    kernels.append(Kernel("after", matrix=matrix if dense else strongest(matrix, config.neighbours), power=1.0))
    more = config.before_first - config.before
    if dense and ordered and more > 0.0:
        # Who has one event has all else to come: what others met before it as well.
        matrix = share(more * counts.T, pairs, config.after_shrink)
        kernels.append(Kernel("earlier", matrix=matrix, power=1.0, most=1))
    return kernels


def share(counts: np.ndarray | sp.csr_matrix, pairs: Pairs, shrink: float) -> np.ndarray | sp.csr_matrix:
    """(N, N) float32: of those who met the row's item, and `shrink` more, the share that `counts` (N, N) counts.

    The mean over the events of a session foretells, from few events, what a person will meet in the long run. People
    with long histories count more here, since they have more pairs; that is as it should be, measured.
    """
    people = np.asarray(pairs.positive.sum(axis=0)).ravel() + max(shrink, 1e-9)
    if isinstance(counts, np.ndarray):
        return np.asarray(counts / people[:, None], dtype=np.float32)
    return (sp.diags(1.0 / people) @ counts).tocsr().astype(np.float32)


def _discounted(counts: sp.csr_matrix, popularity: np.ndarray, from_power: float, to_power: float) -> sp.csr_matrix:
    left, right = sp.diags(popularity**-from_power), sp.diags(popularity**-to_power)
    return (left @ counts @ right).tocsr().astype(np.float32)
