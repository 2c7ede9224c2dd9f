"""`TextIndex`: the items of one catalogue by their text vectors, kept in memory and changed in place.

A flat index of half-precision vectors: exact, 768 bytes for an item of 384 dimensions, nothing to train. An item that
changes gets a new row and leaves its old one empty; empty rows are cut out when there are many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SPARE = 16
"""More rows than were asked for are looked at, since some may be empty."""
MIN_EMPTY = 256
"""Fewer empty rows than this are left where they are."""


class TextIndex:
    """See the module. To be used by one thread at a time; `digest`, `ids` and `len` from any.

    The first vectors that are put decide of how many dimensions all are.
    """

    def __init__(self) -> None:
        self._index: Any = None
        self._owners: list[str | None] = []
        self._places: dict[str, tuple[int, str]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def digest(self, item_id: str) -> str | None:
        """Digest of the text that an item is found by; None when it is not in here."""
        found = self._places.get(item_id)
        return None if found is None else found[1]

    def ids(self) -> list[str]:
        """Ids of all items that are in here."""
        return list(self._places)

    def put(self, item_ids: Sequence[str], digests: Sequence[str], vectors: np.ndarray) -> None:
        """Items with the digests of their texts and their unit vectors (n, dim), in the place of what they had."""
        if not item_ids:
            return
        if self._index is None:
            self._index = _flat(vectors.shape[1])
        self.drop(item_ids)
        first = len(self._owners)
        self._index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        self._owners += item_ids
        self._places |= {
            item_id: (first + place, digest)
            for place, (item_id, digest) in enumerate(zip(item_ids, digests, strict=True))
        }
        empty = len(self._owners) - len(self._places)
        if empty >= max(MIN_EMPTY, len(self._places) // 4):
            self._cut()

    def drop(self, item_ids: Sequence[str]) -> None:
        """Forget items; those that are not in here do not matter."""
        for item_id in item_ids:
            if (found := self._places.pop(item_id, None)) is not None:
                self._owners[found[0]] = None

    def search(self, vector: np.ndarray, n: int) -> list[tuple[str, float]]:
        """The n items whose vectors have the greatest inner product with this one (dim,), and the products."""
        count, rows = n + SPARE, len(self._owners)
        while True:
            count = min(count, rows)
            if not count:
                return []
            products, found = self._index.search(np.ascontiguousarray(vector[None], dtype=np.float32), count)
            owned = [
                (owner, product)
                for row, product in zip(found[0].tolist(), products[0].tolist(), strict=True)
                if (owner := self._owners[row]) is not None
            ]
            if len(owned) >= n or count == rows:
                return owned[:n]
            count *= 4

    def vectors(self, wanted: Mapping[str, str]) -> dict[str, np.ndarray]:
        """The vectors (dim,) float32 of those items whose text has the digest that is given for them."""
        rows = {
            item_id: found[0]
            for item_id, digest in wanted.items()
            if (found := self._places.get(item_id)) is not None and found[1] == digest
        }
        if not rows:
            return {}
        vectors = self._index.reconstruct_batch(np.array(list(rows.values()), dtype=np.int64))
        return dict(zip(rows, vectors, strict=True))

    def _cut(self) -> None:
        """Take the empty rows out; the others keep their order."""
        import faiss

        empty = np.array([row for row, owner in enumerate(self._owners) if owner is None], dtype=np.int64)
        self._index.remove_ids(faiss.IDSelectorBatch(empty))
        self._owners = [owner for owner in self._owners if owner is not None]
        self._places = {
            owner: (row, self._places[owner][1]) for row, owner in enumerate(self._owners) if owner is not None
        }


def _flat(dim: int) -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
