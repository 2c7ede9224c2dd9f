"""A session as bytes, and the words that its codes stand for: how sessions are kept, sent and read without their ids.

An event takes 24 bytes (`EVENT`): the codes of its item and type, its value (NaN for none) and its timestamp in ms. A
shard gives out codes as ids come (`Words`); whoever asks it keeps a copy of the table, and learns with each answer what
is new in it. So a session costs neither side anything for each of its events, and a ranker turns codes into its own
numbers by one look-up for a whole batch.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from cluster.messages import NOT_SEEN, SessionView

EVENT = np.dtype([("item", "<u4"), ("type", "<u4"), ("value", "<f8"), ("ms", "<i8")])
PACK = struct.Struct("<IIdq")
"""One event, as `EVENT` reads it."""


class Words:
    """Item ids and types by code. Grows at the end only, so a part of it is a correct table of older codes.

    Args:
        name: tells one table from another; default: one that no other has.
    """

    __slots__ = ("__weakref__", "items", "name", "types")

    def __init__(self, name: int | None = None) -> None:
        self.name = random.SystemRandom().getrandbits(63) if name is None else name
        self.items: list[str] = []
        self.types: list[str] = []

    def news(self, known: Known) -> News:
        """What somebody lacks who knows that much."""
        name, items, types = known
        if name != self.name:
            items = types = 0
        return self.name, items, self.items[items:], types, self.types[types:]

    def learn(self, news: News) -> None:
        """Take in what is new; news may come twice, and in any order in which each follows from what was known."""
        name, first_item, items, first_type, types = news
        if name != self.name or first_item > len(self.items) or first_type > len(self.types):
            raise ValueError("news of another table of words")
        self.items += items[len(self.items) - first_item :]
        self.types += types[len(self.types) - first_type :]

    @property
    def known(self) -> Known:
        """What to tell somebody who has news."""
        return self.name, len(self.items), len(self.types)


Known = tuple[int, int, int]
"""Name of a table of words, and how many items and types of it are known."""
News = tuple[int, int, list[str], int, list[str]]
"""Name of a table of words; from which code on the items are, and they; the same of the types."""


class StoredView(SessionView):
    """A view of a stored session, whose tuples are made when somebody asks for them.

    Args:
        user_id, tenant: of the person.
        words: of the codes.
        record: events, one after the other, oldest first; the first `skip` bytes are something else.
    """

    __slots__ = ("events", "words")

    events: np.ndarray
    """(E,) of `EVENT`."""
    words: Words

    def __init__(self, user_id: str, tenant: str, words: Words, record: bytes, skip: int = 0) -> None:
        put = object.__setattr__
        put(self, "user_id", user_id)
        put(self, "tenant", tenant)
        put(self, "degraded", False)
        put(self, "words", words)
        put(self, "events", np.frombuffer(record, EVENT, offset=skip))

    @property
    def items(self) -> tuple[str, ...]:
        """Item ids."""
        return tuple(map(self.words.items.__getitem__, self.events["item"].tolist()))

    @property
    def types(self) -> tuple[str, ...]:
        """Event types."""
        return tuple(map(self.words.types.__getitem__, self.events["type"].tolist()))

    @property
    def values(self) -> tuple[float | None, ...]:
        """Values, None for none."""
        return tuple([None if value != value else value for value in self.events["value"].tolist()])

    @property
    def timestamps_ms(self) -> tuple[int, ...]:
        """Timestamps."""
        return tuple(self.events["ms"].tolist())

    @property
    def seen(self) -> frozenset[str]:
        """Items that the person has met, not merely been shown."""
        return seen_of(self.items, self.types)

    def plain(self) -> SessionView:
        """The same with its tuples made, once for all."""
        items, types = self.items, self.types
        seen = seen_of(items, types)
        return SessionView(self.user_id, items, types, self.values, self.timestamps_ms, seen, self.tenant)

    def __reduce__(self) -> tuple[Any, ...]:
        plain = self.plain()
        return SessionView, tuple(getattr(plain, name) for name in SessionView.__dataclass_fields__)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StoredView):
            other = other.plain()
        return self.plain() == other

    __hash__ = None  # type: ignore[assignment]


def seen_of(items: Sequence[str], types: Sequence[str]) -> frozenset[str]:
    """The items of those events that make an item a seen one."""
    return frozenset([item for item, kind in zip(items, types, strict=True) if kind not in NOT_SEEN])


def makes_seen(kinds: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """(E,) bool: which events, of types by their codes (E,), make their item a seen one."""
    return np.array([name not in NOT_SEEN for name in names], dtype=bool)[kinds]
