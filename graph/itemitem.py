"""Item-item similarity in closed form: having met i, how much more likely is j?"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from graph.config import ItemItemConfig
from graph.dataset import Pairs
from graph.kernels import Kernel
from graph.together import close_gram


def ease(positive: sp.csr_matrix, ridge: float) -> np.ndarray:
    """The linear autoencoder of Steck, "Embarrassingly shallow autoencoders" (2019). (N, N) float32, zero diagonal."""
    return autoencoder((positive.T @ positive).toarray(), ridge)


def autoencoder(gram: np.ndarray, ridge: float) -> np.ndarray:
    """The same for any `gram` (N, N) of who met both items, such as one in which a sitting's items count more."""
    ridged = gram.astype(np.float64)
    ridged[np.diag_indices_from(ridged)] += ridge
    inverse = scipy.linalg.inv(ridged, overwrite_a=True, check_finite=False)
    matrix = inverse / -np.diag(inverse)
    np.fill_diagonal(matrix, 0.0)
    return np.asarray(matrix, dtype=np.float32)


def cosine_neighbours(positive: sp.csr_matrix, neighbours: int, shrink: float) -> sp.csr_matrix:
    """Cosine of the items' user sets, shrunk where few met them, the strongest of each row. (N, N) sparse float32."""
    columns = positive.T.tocsr().astype(np.float32)
    norm = np.sqrt(np.asarray(positive.power(2).sum(axis=0)).ravel())
    blocks = []
    step = max(1, 50_000_000 // max(columns.shape[0] * 8, 1))
    for start in range(0, columns.shape[0], step):
        block = (columns[start : start + step] @ positive).tocoo()
        value = block.data / (norm[block.row + start] * norm[block.col] + shrink)
        value[block.row + start == block.col] = 0.0
        blocks.append(strongest(sp.csr_matrix((value, (block.row, block.col)), shape=block.shape), neighbours))
    return sp.vstack(blocks, format="csr", dtype=np.float32)


BLOCK_ENTRIES = 10_000_000
"""Entries of a sparse matrix that are sorted at a time."""


def strongest(matrix: sp.csr_matrix, count: int) -> sp.csr_matrix:
    """The matrix with only the `count` greatest positive entries of each row; worked on in blocks of rows."""
    matrix = matrix.tocsr()
    if matrix.nnz <= BLOCK_ENTRIES:
        return _strongest(matrix, count)
    blocks, start = [], 0
    while start < matrix.shape[0]:
        end = int(np.searchsorted(matrix.indptr, matrix.indptr[start] + BLOCK_ENTRIES, side="right")) - 1
        end = min(max(end, start + 1), matrix.shape[0])
        blocks.append(_strongest(matrix[start:end], count))
        start = end
    return sp.vstack(blocks, format="csr")


def _strongest(matrix: sp.csr_matrix, count: int) -> sp.csr_matrix:
    matrix.eliminate_zeros()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, rows))
    place = np.arange(len(order)) - matrix.indptr[rows[order]]
    kept = order[(place < count) & (matrix.data[order] > 0)]
    return sp.csr_matrix((matrix.data[kept], (rows[kept], matrix.indices[kept])), shape=matrix.shape)


def item_item_kernel(pairs: Pairs, config: ItemItemConfig, ordered: bool = True) -> Kernel:
    """The source `item_item`; without order of the events all pairs of a person's items count alike."""
    positive = pairs.positive
    if pairs.shape[1] > config.max_dense_items:
        return Kernel("item_item", matrix=cosine_neighbours(positive, config.neighbours, config.shrink))
    gram = close_gram(pairs, config.reach) if ordered else (positive.T @ positive).toarray()
    return Kernel("item_item", matrix=autoencoder(gram, config.ridge if ordered else config.ridge_unordered))
