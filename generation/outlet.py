"""What of a text its reader gets: nothing of a string that ends it, and no more tokens than were asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_WORD, _CHARACTER = re.compile(r"\s*\S+"), re.compile(r"\s*\S")
_PIECE = re.compile(r"[A-Za-z]{1,4}|\S")


def estimated_tokens(text: str) -> int:
    """Tokens of a text where no tokenizer is at hand: rather too many than too few.

    Four letters, a mark, a digit count as one; a character of another script as many as it has bytes.
    """
    return sum(1 if piece.isascii() else len(piece.encode()) for piece in _PIECE.findall(text))


class Outlet:
    """Takes a text piece by piece and lets out what may be shown; joined, that is `text`.

    A tail that could be the beginning of a stop string is held back until what follows is known.

    Args:
        chinese: whether a text that gets too long is cut between characters, not words.
        max_tokens: for all that is let out; None is no limit.
        stop: strings before the first of which the text ends.
        count: tokens of a text.
        given: what was let out before.
    """

    def __init__(
        self,
        *,
        chinese: bool,
        max_tokens: int | None,
        stop: Sequence[str],
        count: Callable[[str], int],
        given: str = "",
    ) -> None:
        self._unit = _CHARACTER if chinese else _WORD
        self._max_tokens, self._count = max_tokens, count
        self._stop = tuple(filter(None, stop))
        self._held = ""
        self.text = given
        self.ended: str | None = None
        """Why nothing follows any more: `stop` or `length`."""

    def feed(self, piece: str) -> str:
        """Take a piece; what can be shown now."""
        if self.ended:
            return ""
        whole = self.text + self._held + piece
        stop = self._stop_in(whole)
        # what was given by another outlet may hold the beginning of a stop string
        end = max(len(whole) - self._tail(whole) if stop is None else stop, len(self.text))
        shown = self._let_out(whole, end)
        if stop is not None and self.ended is None:
            self.ended = "stop"
        self._held = "" if self.ended else whole[len(self.text) :]
        return shown

    def close(self, reason: str = "stop") -> str:
        """All that was held back: the text has ended, for a reason that counts where there was none before."""
        shown = "" if self.ended else self._let_out(self.text + self._held, len(self.text + self._held))
        self._held, self.ended = "", self.ended or reason
        return shown

    def before_stop(self, piece: str) -> str:
        """A piece up to where it completes a stop string."""
        before = self.text + self._held
        stop = self._stop_in(before + piece)
        return piece if stop is None else piece[: max(0, stop - len(before))]

    def _stop_in(self, whole: str) -> int | None:
        return min((place for stop in self._stop if (place := whole.find(stop)) >= 0), default=None)

    def _let_out(self, whole: str, end: int) -> str:
        before = len(self.text)
        self.text = whole[: self._fitting(whole[:end])]
        if len(self.text) < len(whole[:end].rstrip()):
            self.ended = "length"
        return self.text[before:]

    def _tail(self, whole: str) -> int:
        """How much at the end of a text could begin a stop string."""
        sizes = (size for stop in self._stop for size in range(1, len(stop)) if whole.endswith(stop[:size]))
        return max(sizes, default=0)

    def _fitting(self, text: str) -> int:
        """Where a text has to be cut to hold no more tokens than were asked for, never in what was let out."""
        if self._max_tokens is None or len(text.encode()) <= self._max_tokens or self._count(text) <= self._max_tokens:
            return len(text)
        ends = [
            len(self.text),
            *(len(self.text) + match.end() for match in self._unit.finditer(text[len(self.text) :])),
        ]
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._count(text[: ends[middle]]) <= self._max_tokens else (low, middle - 1)
        return ends[low]
