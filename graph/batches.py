"""What a batch of users takes from the pairs: its rows, and the items that compete in its softmax."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graph.config import EncoderConfig
from graph.dataset import Pairs


def candidates_of(
    wanted: Tensor, pairs: Pairs, config: EncoderConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Items of the softmax, sorted, and the logarithm of the probability that each was drawn."""
    items = pairs.shape[1]
    if items <= config.max_logits:
        return torch.arange(items), torch.zeros(items)
    half = config.max_logits // 2
    positives = wanted[torch.randperm(len(wanted), generator=generator)]
    sampled = torch.randint(items, (half,), generator=generator)
    candidates = torch.unique(torch.cat([positives, sampled]))
    share = torch.bincount(wanted, minlength=items).float() / max(len(wanted), 1)
    missed = (1 - share[candidates]).pow(len(wanted)) * (1 - 1 / items) ** half
    return candidates, torch.log((1 - missed).clamp(min=1e-9))


def rows_of(pairs: Pairs, users: np.ndarray) -> np.ndarray:
    """The rows of the pairs that these users have."""
    starts, lengths = pairs.offsets[users], pairs.offsets[users + 1] - pairs.offsets[users]
    shift = np.repeat(starts - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    return np.asarray(shift + np.arange(int(lengths.sum())), dtype=np.int64)
