"""Cutting a stream of text into clauses, the unit that the guard checks and the reader sees."""

from __future__ import annotations

from collections.abc import Iterable

SENTENCE = ".!?。！？"
PAUSE = ",;:，；："
SHORT_CHARS = 24
"""A pause ends a clause only when so much has been written since the last one; Chinese counts double."""


class ClauseSplitter:
    """Takes deltas, gives whole clauses; what it gives, joined, is what it took.

    A mark inside one of `names` (E.T., Dr. Strangelove) ends nothing.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._heads = {
            name[: place + 1] for name in names for place, char in enumerate(name) if char in SENTENCE + PAUSE
        }
        self._buffer = ""
        self._looked = 0

    def feed(self, delta: str) -> list[str]:
        """The clauses that are complete now. A mark counts once the character after it is known."""
        self._buffer += delta
        clauses: list[str] = []
        while (end := self._end()) is not None:
            clauses.append(self._buffer[:end])
            self._buffer = self._buffer[end:]
            self._looked = 0
        return clauses

    def rest(self) -> str:
        """What was not given yet, at the end of the stream."""
        rest, self._buffer, self._looked = self._buffer, "", 0
        return rest

    def _end(self) -> int | None:
        text = self._buffer
        while self._looked < len(text) - 1:
            place = self._looked
            self._looked += 1
            char, after = text[place], text[place + 1]
            wide = char > "\u2fff"
            if char not in SENTENCE + PAUSE or not (wide or after.isspace()) or after in SENTENCE + PAUSE:
                continue
            if char in PAUSE and place * (2 if wide else 1) < SHORT_CHARS:
                continue
            if not any(text.endswith(head, 0, place + 1) for head in self._heads):
                return place + 1
        return None


def is_sentence_end(text: str) -> bool:
    """Whether a text ends with a mark that ends a sentence."""
    return text.rstrip("\"'”’)» ")[-1:] in tuple(SENTENCE)
