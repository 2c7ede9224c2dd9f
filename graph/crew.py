"""Processes that train one encoder together: each takes its share of a batch, and all take the same step.

The members hold equal parameters and draw for themselves. What a step needs of the others is the gradient; of vectors
of items only the rows that the batch touched travel. The exchange is torch.distributed's, which whoever starts the
processes has initialised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Crew:
    """One member, number `rank` of `size`. Alone it exchanges nothing."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Crew:
        """Of this process: alone, unless torch.distributed is initialised."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def share(self, users: np.ndarray) -> np.ndarray:
        """This member's part of a batch; all of it where there is less than one user for each."""
        return users if len(users) < self.size else users[self.rank :: self.size]

    def average(self, *gradients: Tensor | None) -> None:
        """Put the mean over all members in place of each gradient."""
        for gradient in gradients:
            if gradient is not None and self.size > 1:
                dist.all_reduce(gradient)
                gradient /= self.size

    def rows(self, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """From rows (r,), each once, with values (r, d): the rows of all members, with the mean over all members."""
        if self.size == 1:
            return rows, values
        counts = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(rows)]))
        most = max(int(count) for count in counts)
        padded = torch.full((most,), -1, dtype=torch.int64)
        padded[: len(rows)] = rows
        wide = torch.zeros(most, values.shape[1])
        wide[: len(rows)] = values
        all_rows = [torch.empty_like(padded) for _ in range(self.size)]
        all_values = [torch.empty_like(wide) for _ in range(self.size)]
        dist.all_gather(all_rows, padded)
        dist.all_gather(all_values, wide)
        every = torch.cat(all_rows)
        found, place = torch.unique(every[every >= 0], return_inverse=True)
        sums = torch.zeros(len(found), values.shape[1]).index_add_(0, place, torch.cat(all_values)[every >= 0])
        return found, sums / self.size

    def agreed(self, ask: Callable[[], bool]) -> bool:
        """What member 0 finds when asked; the others are not asked, and wait for it."""
        answer = torch.tensor([int(ask()) if self.rank == 0 else 0])
        if self.size > 1:
            dist.broadcast(answer, 0)
        return bool(answer)
