"""The FAISS index over items: which have the greatest inner product with a vector.

Lists of similar items (IVF) with half-precision vectors: what is found is scored exactly afterwards. A graph of
neighbours (HNSW) takes forty times as long to build and, since the items' vectors differ in length, finds less in the
same time (docs/decisions/0014-index.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FLAT_ITEMS = 10_000
"""Up to this many items the index is one list, which is read whole."""
TRAIN_PER_LIST = 64
"""Items per list from which the lists' centres are found."""
LANES = 16
"""Vectors are filled up to a multiple of so many dimensions: FAISS reads others eight times slower."""


def _faiss() -> Any:
    """The library, imported when it is first needed. Its type stubs know neither selectors nor lists on disk."""
    import faiss

    return faiss


def lists_of(items: int) -> int:
    """How many lists an index of so many items has."""
    return 1 if items <= FLAT_ITEMS else int(2 * np.sqrt(items))


def build_index(vectors: np.ndarray, probe_share: float = 1.0, seed: int = 7) -> Any:
    """An inner-product index over `vectors` (N, d) float32, in the order of the items.

    Args:
        vectors: of the items. probe_share: of the lists, how many a search reads. seed: of the sample for the centres.
    """
    faiss = _faiss()

    vectors = _filled(vectors)
    items, dim = vectors.shape
    lists = lists_of(items)
    quantiser = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFScalarQuantizer(
        quantiser, dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.by_residual = False
    sample = np.random.default_rng(seed).permutation(items)[: max(lists, TRAIN_PER_LIST * lists)]
    index.train(vectors[np.sort(sample)])
    index.add(vectors)
    index.nprobe = max(1, round(lists * probe_share))
    return index


def save_index(index: Any, path: Path) -> None:
    """Write the index to a file."""
    faiss = _faiss()

    faiss.write_index(index, str(path))


def load_index(path: Path) -> Any:
    """Read an index; its vectors stay in the file, mapped, so that all replicas of a node share their pages."""
    faiss = _faiss()

    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    lists = faiss.downcast_InvertedLists(index.invlists)
    if isinstance(lists, faiss.OnDiskInvertedLists):
        lists.prefetch_nthread = 0  # else every search starts 32 threads, which touch pages that are in memory anyway
    return index


def search(
    index: Any, queries: np.ndarray, count: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(Q, count) inner products and item numbers, -1 where fewer were found.

    Args:
        index: of N items. queries: (Q, d). count: how many to find.
        allowed: (N,) booleans, which items may be found; all lists are read then, since few of each may be allowed.
    """
    faiss = _faiss()

    queries = _filled(queries, index.d)
    count = min(count, index.ntotal)
    if allowed is None:
        found = index.search(queries, count)
    else:
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        found = index.search(queries, count, params=faiss.SearchParametersIVF(sel=selector, nprobe=index.nlist))
    return found[0], found[1]


def _filled(vectors: np.ndarray, dim: int = 0) -> np.ndarray:
    """Zeros added up to `dim` columns, or a multiple of `LANES`; contiguous float32."""
    more = max(dim - vectors.shape[1], -vectors.shape[1] % LANES)
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, more))), dtype=np.float32)
