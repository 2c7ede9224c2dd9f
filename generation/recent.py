"""Which pairs of neighbouring words the texts that were written last hold, so that the next ones choose others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise

from generation.lexicon import is_wide, joined

KEPT_TEXTS = 250
"""So many texts are remembered: more than anybody reads in a row."""
ENOUGH = 0.53
"""While so large a share of their pairs are different ones, nothing is avoided: a model's own choice reads best."""
AHEAD = 0.2
"""So much more has to be different of the first text; the share falls with every text, and what is said is said."""
FEWEST = 2
"""So many phrases are left to choose from where every one repeats something."""
MANY = 3
_MARKS = ".,;:!?“”‘’\"'"


class Recent:
    """The pairs of words of the last texts. Written by one task at a time, read by any thread.

    Args:
        texts: so many are remembered.
        enough: nothing counts as repeated while more than this share of the pairs of all remembered are different ones,
            and, as long as fewer are remembered than `texts`, up to `AHEAD` more.
    """

    def __init__(self, texts: int = KEPT_TEXTS, enough: float = ENOUGH) -> None:
        self._enough, self._total = enough, 0
        self._texts: deque[list[int]] = deque()
        self._counts: Counter[int] = Counter()
        self._kept = texts

    def add(self, text: str) -> None:
        """Remember a text; the oldest beyond those kept is forgotten."""
        pairs = _pairs(text)
        self._texts.append(pairs)
        self._counts.update(pairs)
        self._total += len(pairs)
        if len(self._texts) > self._kept:
            oldest = self._texts.popleft()
            self._total -= len(oldest)
            for pair in oldest:
                self._counts[pair] -= 1
                if not self._counts[pair]:
                    del self._counts[pair]

    def repeats(self, text: str) -> float:
        """How many times a pair of a text stands in the last texts, in the mean of its pairs; 0 for one word.

        More than `MANY` times counts as that, so that of texts with long known titles the longest does not always win.
        """
        if self._varied():
            return 0.0
        pairs = _pairs(text)
        return sum(min(self._counts.get(pair, 0), MANY) for pair in pairs) / max(1, len(pairs))

    def freshest(self, before: str, phrases: Sequence[str]) -> list[str]:
        """Those of the phrases that repeat nothing after the word `before`, else the few that repeat least."""
        if self._varied():
            return list(phrases)
        scored = sorted((self.repeats(before + joined(phrase)), place) for place, phrase in enumerate(phrases))
        new = [phrases[place] for score, place in scored if not score]
        return new or [phrases[place] for _, place in scored[:FEWEST]]

    def _varied(self) -> bool:
        ahead = AHEAD * (1 - len(self._texts) / self._kept)
        return len(self._counts) > (self._enough + ahead) * self._total


def _pairs(text: str) -> list[int]:
    wide = bool(text) and is_wide(text[-1])
    words = list(text) if wide else [word.strip(_MARKS) for word in text.lower().split()]
    return [hash(pair) for pair in pairwise(words)]
