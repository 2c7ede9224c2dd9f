"""What the choice of a list reads of the items beside their scores: which are nearly the same, and their categories.

Two items are twins when they have the same title and year (without a year: the same title, description and categories),
or when the vectors of their texts are as alike as `content.twins` says and both have a title.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from cluster.messages import Item

MAX_COMPARED = 20_000
"""With more items than this texts are not compared with each other, titles alone decide."""
BLOCK = 1_000
MAX_DENSE = 4_000_000
MAX_TWINS = 10
"""Where more items than this have one title, the title is no name but a habit, and they are no twins."""


@dataclass(frozen=True, eq=False)
class Traits:
    """Of N items: `twins` (N,), equal numbers for what is nearly the same, 0 for items without a title.

    `categories` (N, G), rows of sum 1 or 0; `names` (G,) of the categories.
    """

    twins: np.ndarray
    categories: sp.csr_matrix
    names: tuple[str, ...]

    def shares(self, items: np.ndarray) -> np.ndarray:
        """(n, G): the categories of items."""
        return self._dense[items] if self._dense is not None else self.categories[items].toarray()

    @cached_property
    def _dense(self) -> np.ndarray | None:
        """The categories as an array, where that is small: its rows are taken fifty times faster."""
        few = self.categories.shape[0] * self.categories.shape[1] <= MAX_DENSE
        return np.asarray(self.categories.toarray(), dtype=np.float32) if few else None

    @classmethod
    def of(
        cls,
        items: Sequence[Item | None],
        text: np.ndarray | None = None,
        alike: float = 1.0,
    ) -> Traits:
        """Traits of items; None for one of which nothing is known.

        Args:
            items: in the order of the model. text: their text vectors (N, T), zero rows where missing.
            alike: the cosine from which on texts make twins.
        """
        names = tuple(dict.fromkeys(name for item in items if item is not None for name in item.categories))
        twins = np.array([twin_key(item) for item in items], dtype=np.int64)
        if text is not None and alike < 1.0 and len(twins) <= MAX_COMPARED:
            twins = _joined(twins, text, alike)
        return cls(twins, _categories(items, names), names)

    def extended(self, items: Sequence[Item]) -> Traits:
        """The same with further items at the end; categories that are not known are left out."""
        keys = np.array([twin_key(item) for item in items], dtype=np.int64)
        more = _categories(items, self.names)
        return Traits(np.concatenate([self.twins, keys]), sp.vstack([self.categories, more], format="csr"), self.names)

    def groups(self) -> np.ndarray | None:
        """(N,): the twins' numbers, 0 for items that have none; None when no item has."""
        _, place, count = np.unique(self.twins, return_inverse=True, return_counts=True)
        several = (count[place] > 1) & (count[place] <= MAX_TWINS) & (self.twins != 0)
        return np.where(several, self.twins, 0) if several.any() else None


def twin_key(item: Item | None) -> int:
    """Equal for twins by their titles; 0 without a title."""
    title = " ".join(item.title.casefold().split()) if item is not None else ""
    if item is None or not title:
        return 0
    year = item.attributes.get("year")
    rest = f"year {year}" if year not in (None, "") else "\0".join((item.description, *sorted(item.categories)))
    digest = hashlib.blake2b(f"{title}\0{rest}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True) or 1


def _joined(twins: np.ndarray, text: np.ndarray, alike: float) -> np.ndarray:
    """The same numbers for items with a title whose texts are alike."""
    unit = text / np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-9)
    asked = np.flatnonzero((twins != 0) & (np.abs(text).sum(axis=1) > 0))
    pairs = []
    for start in range(0, len(asked), BLOCK):
        rows, columns = np.nonzero(unit[asked[start : start + BLOCK]] @ unit[asked].T >= alike)
        pairs.append(np.stack([rows + start, columns])[:, rows + start < columns])
    found = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), dtype=np.int64)
    same = np.unique(twins[asked], return_inverse=True)[1]
    # Items of one title are joined through a node of their own.
    size = len(asked) + (int(same.max()) + 1 if len(same) else 0)
    rows = np.concatenate([found[0], np.arange(len(asked))])
    columns = np.concatenate([found[1], len(asked) + same])
    _, part = connected_components(sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size)), False)
    first = np.unique(part[: len(asked)], return_index=True, return_inverse=True)
    joined = twins.copy()
    joined[asked] = twins[asked][first[1]][first[2]]
    return joined


def _categories(items: Sequence[Item | None], names: tuple[str, ...]) -> sp.csr_matrix:
    number = {name: place for place, name in enumerate(names)}
    rows, columns, values = [], [], []
    for row, item in enumerate(items):
        own = [number[name] for name in item.categories if name in number] if item is not None else []
        rows += [row] * len(own)
        columns += own
        values += [1.0 / max(len(own), 1)] * len(own)
    shape = (len(items), len(names))
    return sp.csr_matrix((np.array(values, dtype=np.float32), (rows, columns)), shape=shape, dtype=np.float32)
