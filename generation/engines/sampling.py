"""Choosing a token: temperature, nucleus, seed, allowed tokens, no phrase twice, an end in time."""

from __future__ import annotations

import torch

from generation.engines.constrain import Walk

CANDIDATES = 64
"""Only so many of the likeliest tokens are sorted for the nucleus; what lies beyond has next to no probability."""

CLOSING_BIAS = 0.3
"""So many logits every further token adds to the end of a constrained text, once a third of it is written."""
HURRY_TOKENS = 6
"""So close to the last token a constrained sentence ends as soon as it can."""


class Sampler:
    """The choices of one text. A seed makes them repeatable, whatever else is in the batch."""

    def __init__(
        self,
        temperature: float,
        top_p: float,
        seed: int | None,
        walk: Walk | None,
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
        self.written = 0
        self._random = torch.Generator()
        if seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(seed % (1 << 63))

    def choose(self, logits: torch.Tensor) -> int:
        """The next token, by logits of shape (vocabulary,), on the CPU."""
        allowed: torch.Tensor | None = None
        if self._walk is not None:
            logits = self._lean_to_end(logits.float(), self._walk)
            allowed = torch.tensor(self._walk.allowed())
            logits = logits[allowed]
        logits = logits.float()
        banned = self._seen.get(tuple(self._written[-self._no_repeat + 1 :]), ()) if self._no_repeat else ()
        if banned:
            places = (
                torch.isin(allowed, torch.tensor(list(banned))) if allowed is not None else torch.tensor(list(banned))
            )
            blocked = logits.clone()
            blocked[places] = -torch.inf
            if torch.isfinite(blocked.max()):
                logits = blocked
        place = self._draw(logits)
        token = int(allowed[place]) if allowed is not None else place
        self._take(token)
        return token

    def _lean_to_end(self, logits: torch.Tensor, walk: Walk) -> torch.Tensor:
        over = self.written - self._max_tokens // 3
        closing = walk.closing() if over > 0 else []
        if closing:
            hurry = self._max_tokens - self.written <= HURRY_TOKENS
            logits[closing] += 100.0 if hurry else CLOSING_BIAS * over
        return logits

    def _draw(self, logits: torch.Tensor) -> int:
        if self._temperature == 0:
            return int(logits.argmax())
        top = torch.topk(logits, min(CANDIDATES, logits.shape[0]))
        chances = torch.softmax(top.values / self._temperature, dim=-1)
        beyond = torch.cumsum(chances, dim=-1) - chances >= self._top_p
        chances[beyond] = 0
        return int(top.indices[torch.multinomial(chances, 1, generator=self._random)])

    def _take(self, token: int) -> None:
        self.written += 1
        if self._walk is not None:
            self._walk.advance(token)
        if self._no_repeat:
            context = tuple(self._written[-self._no_repeat + 1 :])
            if len(context) == self._no_repeat - 1:
                self._seen.setdefault(context, set()).add(token)
            self._written.append(token)
