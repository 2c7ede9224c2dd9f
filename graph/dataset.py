"""Interactions: events with interned ids, sorted by user and time, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from cluster.messages import SessionView
from graph.weights import EventWeights


@dataclass(frozen=True, eq=False)
class Interactions:
    """E events of U users with N items.

    Rows are sorted by user, then time, then as given. `user`, `item` and `type_code` (E,) index into `user_ids`,
    `item_ids` and `types`; `value` (E,) has NaN for none; `strength` (E,) is signed (see `graph.weights`).
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    types: tuple[str, ...]
    user: np.ndarray
    item: np.ndarray
    type_code: np.ndarray
    value: np.ndarray
    time_ms: np.ndarray
    strength: np.ndarray
    max_strength: float = 1.5

    @classmethod
    def from_columns(
        cls,
        users: Any,
        items: Any,
        weights: EventWeights,
        types: Any = None,
        values: Any = None,
        times_ms: Any = None,
        catalogue: Sequence[str] = (),
    ) -> Interactions:
        """From columns (Arrow arrays or sequences) of equal length.

        Args:
            users: user ids. items: item ids.
            weights: turns types and values into strengths.
            types: event types; without, all are `rating` where values are given, else `click`.
            values: numbers or None. times_ms: without, the order given is the order in time.
            catalogue: ids of items that get a place even when nobody met them.
        """
        user_code, user_ids = _intern(users)
        item_code, item_ids = _intern(items)
        count = len(user_code)
        known = set(item_ids)
        item_ids = item_ids + tuple(item for item in dict.fromkeys(catalogue) if item not in known)
        if types is None:
            types = pa.array(["rating" if values is not None else "click"] * count, pa.string())
        type_code, names = _intern(types)
        value = np.full(count, np.nan)
        if values is not None:
            column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(list(values), pa.float64())
            value = np.asarray(pc.fill_null(pc.cast(column, pa.float64()), float("nan")), dtype=np.float64)
        time_ms = np.zeros(count, dtype=np.int64) if times_ms is None else np.asarray(times_ms, dtype=np.int64)
        strength = weights.of_coded(type_code, names, value)
        order = np.lexsort((np.arange(count), time_ms, user_code))
        return cls(
            user_ids, item_ids, names, user_code[order], item_code[order], type_code[order], value[order],
            time_ms[order], strength[order], weights.config.max_strength,
        )  # fmt: skip

    @classmethod
    def from_batches(
        cls, batches: Iterable[pa.RecordBatch], weights: EventWeights, catalogue: Sequence[str] = ()
    ) -> Interactions:
        """From Arrow record batches with the columns user_id, item_id, type, value and timestamp_ms.

        Ids and types may be dictionary-encoded, which takes a fraction of the memory.
        """
        word = pa.dictionary(pa.int32(), pa.string())
        schema = pa.schema(
            [
                ("user_id", word),
                ("item_id", word),
                ("type", word),
                ("value", pa.float64()),
                ("timestamp_ms", pa.int64()),
            ]
        )
        parts = [batch.select(schema.names).cast(schema) for batch in batches]
        table = pa.Table.from_batches(parts, schema=schema).unify_dictionaries()
        return cls.from_columns(
            table["user_id"], table["item_id"], weights, table["type"], table["value"], table["timestamp_ms"], catalogue
        )

    def __len__(self) -> int:
        return len(self.user)

    @property
    def shape(self) -> tuple[int, int]:
        """Users, items."""
        return len(self.user_ids), len(self.item_ids)

    @cached_property
    def offsets(self) -> np.ndarray:
        """(U + 1,): the rows of user u are `offsets[u]` to `offsets[u + 1]`."""
        return np.concatenate(([0], np.cumsum(np.bincount(self.user, minlength=len(self.user_ids)))))

    @cached_property
    def pairs(self) -> Pairs:
        """Each user and item once: strengths added up and bounded, ordered by the last event."""
        return condense(self.user, self.item, self.strength, self.shape, self.max_strength)

    def take(self, mask: np.ndarray) -> Interactions:
        """The rows where `mask` (E,) holds; users and items keep their numbers."""
        return Interactions(
            self.user_ids, self.item_ids, self.types, self.user[mask], self.item[mask], self.type_code[mask],
            self.value[mask], self.time_ms[mask], self.strength[mask], self.max_strength,
        )  # fmt: skip

    def without_items(self, gone: np.ndarray) -> Interactions:
        """The same without the items where `gone` (N,) holds, of which there may be no rows."""
        number = np.cumsum(~gone) - 1
        kept = tuple(item_id for item_id, out in zip(self.item_ids, gone.tolist(), strict=True) if not out)
        return replace(self, item_ids=kept, item=number[self.item].astype(self.item.dtype))

    def view(self, user: int, first: int | None = None) -> SessionView:
        """What a session of this user would hold (its first events only, if so asked)."""
        start, stop = int(self.offsets[user]), int(self.offsets[user + 1])
        if first is not None:
            stop = min(stop, start + first)
        rows = slice(start, stop)
        items = tuple(self.item_ids[i] for i in self.item[rows])
        return SessionView(
            user_id=self.user_ids[user],
            items=items,
            types=tuple(self.types[code] for code in self.type_code[rows]),
            values=tuple(None if v != v else float(v) for v in self.value[rows]),
            timestamps_ms=tuple(self.time_ms[rows].tolist()),
            seen=frozenset(items),
        )


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of a user and an item, sorted by user and last event, with `offsets` (U + 1,)."""

    user: np.ndarray
    item: np.ndarray
    strength: np.ndarray
    offsets: np.ndarray
    shape: tuple[int, int]

    @cached_property
    def positive(self) -> sp.csr_matrix:
        """(U, N) with 1 where somebody met an item and did not dislike it."""
        kept = self.strength > 0
        ones = np.ones(int(kept.sum()), dtype=np.float32)
        return sp.csr_matrix((ones, (self.user[kept], self.item[kept])), shape=self.shape)


def condense(
    user: np.ndarray, item: np.ndarray, strength: np.ndarray, shape: tuple[int, int], max_strength: float
) -> Pairs:
    """Rows sorted by user and time -> each pair once, at the place of its last row; strength 0 rows are left out.

    What a pair's rows add up to is bounded by `max_strength`, or by the strongest of them where that is more.
    """
    kept = strength != 0
    user, item, strength = user[kept].astype(np.int64), item[kept].astype(np.int64), strength[kept]
    key = user * max(shape[1], 1) + item
    _, last_reversed, inverse = np.unique(key[::-1], return_index=True, return_inverse=True)
    total = np.bincount(inverse, weights=strength[::-1].astype(np.float64), minlength=len(last_reversed))
    last = len(key) - 1 - last_reversed
    order = np.argsort(last)
    rows = last[order]
    bound = np.full(len(last_reversed), max_strength)
    np.maximum.at(bound, inverse, np.abs(strength[::-1]))
    bounded = np.clip(total[order], -bound[order], bound[order]).astype(np.float32)
    offsets = np.concatenate(([0], np.cumsum(np.bincount(user[rows], minlength=shape[0]))))
    return Pairs(user[rows].astype(np.int32), item[rows].astype(np.int32), bounded, offsets, shape)


def _intern(column: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    array = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(list(column), pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        return np.asarray(array.indices, dtype=np.int32), tuple(array.dictionary.to_pylist())
    coded = pc.cast(array, pa.string()).dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    return np.asarray(coded.indices, dtype=np.int32), tuple(coded.dictionary.to_pylist())
