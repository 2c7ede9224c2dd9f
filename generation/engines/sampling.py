"""Choosing a token: temperature, nucleus, seed, allowed tokens, no phrase twice, an end in time."""

from __future__ import annotations

import numpy as np

from generation.engines.constrain import Walk
from generation.engines.phrases import PhraseWalk

CANDIDATES = 64
"""Only so many of the likeliest tokens are sorted for the nucleus; what lies beyond has next to no probability."""

CLOSING_BIAS = 0.3
"""So many logits every further token adds to the end of a constrained text, once a third of it is written."""
HURRY_TOKENS = 6
"""So close to the last token a constrained sentence ends as soon as it can."""
_HURRY_BIAS = 100.0


class Sampler:
    """The choices of one text. A seed makes them repeatable, whatever else is in the batch."""

    def __init__(
        self,
        temperature: float,
        top_p: float,
        seed: int | None,
        walk: Walk | PhraseWalk | None,
        max_tokens: int,
        no_repeat: int = 4,
    ) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._walk = walk
        self._max_tokens = max_tokens
        self._no_repeat = no_repeat
        self._seen: dict[tuple[int, ...], set[int]] = {}
        self._written: list[int] = []
        self._random = np.random.default_rng(None if seed is None else seed % (1 << 63))
        self._allowed: np.ndarray | None = None
        self.written = 0

    def forced(self) -> int | None:
        """Take the next token where only one is allowed; None where there is a choice, which `choose` makes."""
        if self._walk is None:
            return None
        self._allowed = self._walk.allowed()
        if len(self._allowed) > 1:
            return None
        token = int(self._allowed[0])
        self._take(token)
        return token

    def choose(self, logits: np.ndarray) -> int:
        """The next token, by logits of shape (vocabulary,), float32. They are not changed."""
        allowed: np.ndarray | None = None
        if self._walk is None:
            values = logits.copy()
        else:
            allowed = self._walk.allowed() if self._allowed is None else self._allowed
            values = logits[allowed]
            self._lean_to_end(values, allowed, self._walk)
        self._ban_repeats(values, allowed)
        place = self._draw(values)
        token = int(allowed[place]) if allowed is not None else place
        self._take(token)
        return token

    def _lean_to_end(self, values: np.ndarray, allowed: np.ndarray, walk: Walk | PhraseWalk) -> None:
        over = self.written - self._max_tokens // 3
        closing = walk.closing() if over > 0 else []
        if closing:
            hurry = self._max_tokens - self.written <= HURRY_TOKENS
            values[np.isin(allowed, closing)] += _HURRY_BIAS if hurry else CLOSING_BIAS * over

    def _ban_repeats(self, values: np.ndarray, allowed: np.ndarray | None) -> None:
        """Rule out tokens that would write a phrase for the second time, unless there is no other."""
        banned = self._seen.get(tuple(self._written[-self._no_repeat + 1 :])) if self._no_repeat else None
        if not banned:
            return
        places = np.array(list(banned)) if allowed is None else np.flatnonzero(np.isin(allowed, list(banned)))
        if len(places) < len(values):
            values[places] = -np.inf

    def _draw(self, values: np.ndarray) -> int:
        if self._temperature == 0:
            return int(values.argmax())
        n = min(CANDIDATES, len(values))
        top = np.argpartition(values, -n)[-n:] if n < len(values) else np.arange(n)
        top = top[np.argsort(-values[top], kind="stable")]
        chances = np.exp((values[top] - values[top[0]]) / self._temperature, dtype=np.float64)
        below = np.cumsum(chances)
        kept = int(np.searchsorted(below, self._top_p * below[-1])) + 1
        drawn = np.searchsorted(below[:kept], self._random.random() * below[min(kept, n) - 1], side="right")
        return int(top[min(int(drawn), n - 1)])

    def _take(self, token: int) -> None:
        self.written += 1
        self._allowed = None
        if self._walk is not None:
            self._walk.advance(token)
        if self._no_repeat:
            context = tuple(self._written[-self._no_repeat + 1 :])
            if len(context) == self._no_repeat - 1:
                self._seen.setdefault(context, set()).add(token)
            self._written.append(token)
