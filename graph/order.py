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

DENSE_ITEMS = 6000
"""Up to this many items the matrices are kept dense, which is faster."""


def transitions(pairs: Pairs, reach: float) -> sp.csr_matrix:
    """(N, N): the faded number of times that the column's item came after the row's; dislikes are left out."""
    kept = pairs.strength > 0
    user, item = pairs.user[kept], pairs.item[kept]
    total = sp.csr_matrix((pairs.shape[1], pairs.shape[1]), dtype=np.float32)
    for lag in range(1, int(3 * reach) + 1):
        same = user[lag:] == user[:-lag]
        if not same.any():
            break
        faded = np.full(int(same.sum()), np.exp(-(lag - 1) / reach), dtype=np.float32)
        total = total + sp.csr_matrix((faded, (item[:-lag][same], item[lag:][same])), shape=total.shape)
    return total.tocsr()


def order_kernels(pairs: Pairs, config: OrderConfig) -> list[Kernel]:
    """The source `next`, once per memory, and `near`: what is met close to what, in either direction."""
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
    return kernels


def _discounted(counts: sp.csr_matrix, popularity: np.ndarray, from_power: float, to_power: float) -> sp.csr_matrix:
    left, right = sp.diags(popularity**-from_power), sp.diags(popularity**-to_power)
    return (left @ counts @ right).tocsr().astype(np.float32)
