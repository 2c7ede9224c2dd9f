"""The FAISS index over items: which have the greatest inner product with a vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FLAT_ITEMS = 50_000
"""Up to this many items the index is exact; beyond, a graph of neighbours (HNSW)."""


def build_index(vectors: np.ndarray) -> Any:
    """An inner-product index over `vectors` (N, d) float32, in the order of the items."""
    import faiss

    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    dim = vectors.shape[1]
    index: Any
    if len(vectors) <= FLAT_ITEMS:
        index = faiss.IndexFlatIP(dim)
    else:
        index = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 80
        index.hnsw.efSearch = 128
    index.add(vectors)
    return index


def save_index(index: Any, path: Path) -> None:
    """Write the index to a file."""
    import faiss

    faiss.write_index(index, str(path))


def load_index(path: Path) -> Any:
    """Read an index, memory-mapped where FAISS can."""
    import faiss

    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)


def search(index: Any, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(Q, count) inner products and item numbers, -1 where fewer were found."""
    found = index.search(np.ascontiguousarray(queries, dtype=np.float32), min(count, index.ntotal))
    return found[0], found[1]
