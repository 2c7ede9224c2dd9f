"""Choosing a token: temperature, nucleus, seed, allowed tokens, no phrase twice."""

from __future__ import annotations

import torch

from generation.engines.constrain import Walk

CANDIDATES = 64
"""Only so many of the likeliest tokens are sorted for the nucleus; what lies beyond has next to no probability."""


class Sampler:
    """The choices of one text. A seed makes them repeatable, whatever else is in the batch."""

    def __init__(
        self, temperature: float, top_p: float, seed: int | None, walk: Walk | None, no_repeat: int = 4
    ) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._walk = walk
        self._no_repeat = no_repeat
        self._seen: dict[tuple[int, ...], set[int]] = {}
        self._written: list[int] = []
        self._random = torch.Generator()
        if seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(seed % (1 << 63))

    def choose(self, logits: torch.Tensor) -> int:
        """The next token, by logits of shape (vocabulary,), on the CPU."""
        allowed: torch.Tensor | None = None
        if self._walk is not None:
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

    def _draw(self, logits: torch.Tensor) -> int:
        if self._temperature == 0:
            return int(logits.argmax())
        top = torch.topk(logits, min(CANDIDATES, logits.shape[0]))
        chances = torch.softmax(top.values / self._temperature, dim=-1)
        beyond = torch.cumsum(chances, dim=-1) - chances >= self._top_p
        chances[beyond] = 0
        return int(top.indices[torch.multinomial(chances, 1, generator=self._random)])

    def _take(self, token: int) -> None:
        if self._walk is not None:
            self._walk.advance(token)
        if self._no_repeat:
            context = tuple(self._written[-self._no_repeat + 1 :])
            if len(context) == self._no_repeat - 1:
                self._seen.setdefault(context, set()).add(token)
            self._written.append(token)
