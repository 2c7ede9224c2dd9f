"""The sessions of many people in little memory: a packed record of bytes per person.

A record is 8 bytes (the event number up to which it was loaded from the store) and then 24 bytes for each event, as
`cluster.coded` has it. Item ids and types are kept once and named by codes. People are keyed by a digest of 16 bytes,
so no user id is held here.

Memory is bounded by a budget. Two generations approximate "least recently used" without an entry's worth of links: what
is used goes to the young one; when that holds half of the budget it becomes the old one, and the old one is let go, a
few records at each step, so that no request waits for a million of them.

Belongs to one thread.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import pairwise

from cluster.coded import PACK as _EVENT
from cluster.coded import Words
from cluster.store.events import SessionRow

_HEAD = struct.Struct("<q")
HEAD_BYTES = _HEAD.size
"""What a record begins with; then come its events."""

ENTRY_BYTES = 160
"""What a record costs beside its events: the bytes object's head, the digest, its place in the dict."""
CODE_BYTES = 150
"""What an item id or a type costs beside its characters: the string's head, its places in the list and the dict."""
LET_GO_PER_STEP = 8


class SessionMemory:
    """Records by person; see the module.

    Args:
        budget_bytes: about how much memory the records and the ids may take.
        max_events: events of one person that are kept, the newest by timestamp.
    """

    def __init__(self, budget_bytes: int, max_events: int) -> None:
        self._budget = budget_bytes
        self._max_events = max_events
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._leaving: dict[bytes, bytes] = {}
        self._young_bytes = 0
        self._old_bytes = 0
        self.words = Words()
        self._item_codes: dict[str, int] = {}
        self._code_bytes = 0
        self._type_codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, person: bytes) -> bool:
        return person in self._young or person in self._old

    @property
    def used_bytes(self) -> int:
        """An estimate of the memory taken."""
        return self._young_bytes + self._old_bytes + self._code_bytes

    def load(self, person: bytes, rows: Sequence[SessionRow], loaded_seq: int) -> None:
        """Take a person in, with the events that the store has up to a number, in the order in which they came."""
        if self._code_bytes > self._budget // 4:
            # So many ids are no catalogue. Codes cannot be taken back one by one; sessions can be loaded again.
            self.clear()
        packed = b"".join([self._pack(item, kind, value, ms) for _, item, kind, value, ms in rows])
        self._put(person, _HEAD.pack(loaded_seq) + self._in_order(packed))

    def add(self, person: bytes, row: SessionRow) -> None:
        """A stored event of a person. One that is not in memory, or had it when loaded, stays as it is."""
        record = self._find(person)
        if record is None:
            return
        seq, item, kind, value, ms = row
        if seq <= _HEAD.unpack_from(record)[0]:
            return
        late = len(record) > _HEAD.size and ms < _EVENT.unpack_from(record, len(record) - _EVENT.size)[3]
        record += self._pack(item, kind, value, ms)
        if late or len(record) > _HEAD.size + self._max_events * _EVENT.size:
            record = record[: _HEAD.size] + self._in_order(record[_HEAD.size :])
        self._put(person, record)

    def record(self, person: bytes) -> bytes | None:
        """What is known of a person, by the codes of `words`; None when they are not in memory."""
        return self._find(person)

    def recoded(self, words: Words, record: bytes) -> bytes:
        """A record that may be from before `clear`, by the codes of now."""
        if words is self.words:
            return record
        items, types = words.items, words.types
        events = _EVENT.iter_unpack(record[HEAD_BYTES:])
        return record[:HEAD_BYTES] + b"".join(
            [
                self._pack(items[item], types[kind], None if math.isnan(value) else value, ms)
                for item, kind, value, ms in events
            ]
        )

    def drop(self, person: bytes) -> None:
        """Forget a person; the next view loads them again."""
        record = self._young.pop(person, None)
        if record is not None:
            self._young_bytes -= _cost(record)
        record = self._old.pop(person, None)
        if record is not None:
            self._old_bytes -= _cost(record)
        self._leaving.pop(person, None)

    def clear(self) -> None:
        """Forget everybody, and all codes."""
        self._young, self._old, self._leaving = {}, {}, {}
        self._young_bytes = self._old_bytes = self._code_bytes = 0
        self.words, self._item_codes, self._type_codes = Words(), {}, {}

    def _find(self, person: bytes) -> bytes | None:
        record = self._young.get(person)
        if record is None:
            record = self._old.pop(person, None)
            if record is not None:
                self._old_bytes -= _cost(record)
                self._put(person, record)
        return record

    def _put(self, person: bytes, record: bytes) -> None:
        before = self._young.get(person)
        if before is not None:
            self._young_bytes -= _cost(before)
        elif self._old:
            older = self._old.pop(person, None)
            if older is not None:
                self._old_bytes -= _cost(older)
        self._young[person] = record
        self._young_bytes += _cost(record)
        for _ in range(min(LET_GO_PER_STEP, len(self._leaving))):
            self._leaving.popitem()
        if self._young_bytes > (self._budget - self._code_bytes) // 2:
            self._leaving = self._old
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0

    def _pack(self, item: str, kind: str, value: float | None, ms: int) -> bytes:
        code = self._item_codes.get(item)
        if code is None:
            code = self._item_codes[item] = len(self.words.items)
            self.words.items.append(item)
            self._code_bytes += CODE_BYTES + len(item)
        kind_code = self._type_codes.get(kind)
        if kind_code is None:
            kind_code = self._type_codes[kind] = len(self.words.types)
            self.words.types.append(kind)
            self._code_bytes += CODE_BYTES + len(kind)
        return _EVENT.pack(code, kind_code, math.nan if value is None else value, ms)

    def _in_order(self, packed: bytes) -> bytes:
        """Packed events by timestamp, equal ones as they came, the newest `max_events` of them."""
        size = _EVENT.size
        times = [event[3] for event in _EVENT.iter_unpack(packed)]
        if any(before > after for before, after in pairwise(times)):
            places = sorted(range(len(times)), key=times.__getitem__)
            packed = b"".join([packed[place * size : (place + 1) * size] for place in places])
        return packed[-self._max_events * size :]


def _cost(record: bytes) -> int:
    return len(record) + ENTRY_BYTES
