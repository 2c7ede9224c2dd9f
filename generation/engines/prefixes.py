"""Beginnings of prompts that repeat: what a model computed for them is kept, within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generation.engines.decode import Backend

PIECE = 32
"""Prompts are read up to multiples of so many tokens. Where they are divided shows in the logits, most where keys are
kept in 8 bits: with places that depend on the speed of the machine, or on who else is there, one seed would give now
this text, now that. It is also the least that is read at a time, for what a call costs in any case."""


class Prefixes:
    """What is kept of one model. Used by the decode thread; what was used for longest ago goes first."""

    def __init__(self, backend: Backend, most_bytes: int) -> None:
        self._backend = backend
        self._most_tokens = most_bytes // backend.per_token_bytes
        self._kept: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def load(self, row: int, beginning: tuple[int, ...]) -> int:
        """Put as much of a beginning into a row as was kept of it or of others that begin alike; how many tokens.

        Of others whole pieces: this one is read on as it would be if it were the first.
        """
        if not self._kept or not beginning:
            return 0
        kept = beginning if beginning in self._kept else max(self._kept, key=lambda other: _common(other, beginning))
        length = len(kept) if kept == beginning else _common(kept, beginning) // PIECE * PIECE
        if length:
            self._kept.move_to_end(kept)
            self._backend.load(row, self._kept[kept])
        return length

    def keep(self, row: int, beginning: tuple[int, ...]) -> None:
        """Keep the first tokens of a row."""
        if len(beginning) > self._most_tokens:
            return
        self._kept[beginning] = self._backend.save(row, len(beginning))
        while sum(map(len, self._kept)) > self._most_tokens:
            self._kept.popitem(last=False)


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many tokens two beginnings share."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
