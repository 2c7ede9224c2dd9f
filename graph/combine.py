"""Learning how much each source counts, on sessions that were held out of its training.

The score stays a sum: each source times a positive weight that depends only on how much of the person is known. Hence
reasons stay exact, and a handful of numbers is learnt from thousands of held-out sessions, which does not overfit.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from graph.kernels import Kernel, Sessions
from graph.model import Bias, Gate

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

DEPTH = 20
"""Places of a list that the weights are learnt for."""
PAIRS_QUERIES = 300
"""Sessions per step of the pairwise part."""


@dataclass(frozen=True)
class Pull:
    """Where the weights begin, relative to each source's spread, and how hard `ridge` holds them there."""

    proportions: Mapping[str, float]
    other: float
    ridge: float


FUSED = {"near": 0.5}
"""What a source weighs by its spread relative to the one that it is fused with; a third to three do as well. Others
weigh what theirs does."""
TIMED = Pull({}, float(np.exp(-1.0)), 1e-5)
"""For sessions with times: all sources alike, to be learnt freely."""
STILL = Pull(
    {"factors": 1.0, "graph": 0.4, "prior": 0.4, "item_item": 0.3, "near": 0.1, "text": 0.1, "after": 0.1}, 0.03, 1e-2
)
"""For sessions without times: what did well in fixed proportions. Held-out events make the sources of a division poorer
than those of the model, the factorisation most, and weights learnt freely relied too much on the simple ones."""
FEW = 13.0
"""Sessions. The square of their share among all is added to the ridge: fifty people teach little, a thousand enough."""


def features(
    kernels: Sequence[Kernel], biases: Sequence[Bias], sessions: Sessions, candidates: np.ndarray | None
) -> np.ndarray:
    """(S, Q, C) float32: every source's unweighted score of the candidates (Q, C), or of all items without them."""
    parts = [k.scores(sessions) if candidates is None else k.scores_at(sessions, candidates) for k in kernels]
    for bias in biases:
        values = bias.values[candidates] if candidates is not None else np.tile(bias.values, (len(sessions), 1))
        parts.append(values.astype(np.float32))
    return np.stack(parts)


DEAD = 1e-8
"""A source whose scores differ by less than this, such as an encoder that has learnt nothing, is given no weight: the
weight that would make it heard is so great that nothing else would be, should it ever learn."""
NEVER = -1000.0
"""A level whose exponential is nothing."""


def learn_gates(
    names: Sequence[str],
    values: np.ndarray,
    seen: np.ndarray,
    truth: np.ndarray,
    excluded: np.ndarray,
    steps: int,
    seed: int,
    alike: Sequence[Hashable] | None = None,
) -> dict[str, Gate]:
    """Gates of the sources that put the held-out events at the top of the lists.

    First a softmax makes these events likely, which finds the region; then pairs of a held-out item and another one are
    put in order, weighted by what swapping them does to nDCG (LambdaLoss, Wang et al., 2018). Sessions with and without
    times are learnt from apart: together, each pulled the other's weights off their best.

    Args:
        names: of the sources, (S,). values: their scores (S, Q, C). seen: what `context` says of the sessions (Q, 2).
        truth: booleans (Q, C), the held-out items. excluded: booleans (Q, C), items that are no candidates.
        alike: (S,); sources with equal entries stand in the proportions of `FUSED` always.
    """
    groups: list[Hashable] = list(names if alike is None else alike)
    leader = np.array([groups.index(group) for group in groups])
    follows = leader != np.arange(len(names))
    share = np.where(follows, np.log([FUSED.get(name, 1.0) for name in names]), 0.0)
    spread = np.maximum(values.std(axis=2).mean(axis=1), 1e-9)
    spread = np.where(follows & [name not in FUSED for name in names], spread[leader], spread)
    scaled = (values / spread[:, None, None]).astype(np.float32)
    timeless = seen[:, 1] > 0
    learnt = {}
    for still in (False, True):
        rows = np.flatnonzero(timeless == still)
        if len(rows):
            pull = STILL if still else TIMED
            begin = np.array([np.log(pull.proportions.get(name, pull.other)) for name in names])
            learnt[still] = _learn(
                scaled[:, rows], seen[rows, 0], truth[rows], excluded[rows], begin, leader, share, steps, seed,
                pull.ridge + (FEW / len(rows)) ** 2,
            )  # fmt: skip
    timed = learnt.get(False, learnt.get(True))
    assert timed is not None
    still_more = (learnt.get(True, timed) - timed)[leader]
    timed[:, 0] -= np.log(spread)
    rows_of = np.concatenate([timed, still_more], axis=1)
    alone = np.bincount(leader, minlength=len(leader))[leader] == 1
    rows_of[alone & (spread <= DEAD)] = np.array([NEVER, 0.0, 0.0, 0.0, 0.0, 0.0])
    return {name: Gate(*(float(v) for v in row)) for name, row in zip(names, rows_of, strict=True)}


def _learn(
    scaled: np.ndarray,
    known: np.ndarray,
    truth: np.ndarray,
    excluded: np.ndarray,
    begin: np.ndarray,
    leader: np.ndarray,
    share: np.ndarray,
    steps: int,
    seed: int,
    ridge: float,
) -> np.ndarray:
    """(S, 3) float64: level, slope and bend of each source's logarithmic weight, beginning with levels `begin` (S,).

    A source has the weight of its `leader` (S,), which may be itself, with `share` (S,) added to the level.
    """
    import torch

    torch.manual_seed(seed)
    x = torch.from_numpy(known.astype(np.float32))
    basis = torch.stack([torch.ones_like(x), x, x * x])
    values, out = torch.from_numpy(scaled), torch.from_numpy(excluded)
    wanted = torch.from_numpy((truth & ~excluded).astype(np.float32))
    wanted = wanted / wanted.sum(dim=1, keepdim=True).clamp(min=1).sqrt()
    first = torch.from_numpy(leader)
    beside = torch.zeros(len(scaled), 3)
    beside[:, 0] = torch.from_numpy(share.astype(np.float32))
    parameters = torch.zeros(len(scaled), 3)
    parameters[:, 0] = torch.from_numpy(begin.astype(np.float32))
    start = parameters.clone()
    parameters.requires_grad_(True)

    def tied() -> Tensor:
        return parameters[first] + beside

    optimiser = torch.optim.Adam([parameters], lr=0.05)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.08 * (1 - step / steps) + 0.002
        logits = torch.einsum("sq,sqc->qc", torch.exp(tied() @ basis), values).masked_fill(out, -1e4)
        loss = -(torch.log_softmax(logits, dim=1) * wanted).sum() / len(x)
        _descend(optimiser, loss + ridge * (parameters - start).square().sum())
    optimiser = torch.optim.Adam([parameters], lr=0.05)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1 - step / steps) + 0.002
        rows = torch.randperm(len(x))[:PAIRS_QUERIES]
        logits = torch.einsum("sq,sqc->qc", torch.exp(tied() @ basis[:, rows]), values[:, rows])
        loss = lambda_loss(logits.masked_fill(out[rows], -1e4), wanted[rows] > 0)
        _descend(optimiser, loss + ridge * (parameters - start).square().sum())
    return np.asarray(tied().detach().numpy(), dtype=np.float64)


def contenders(values: np.ndarray, excluded: np.ndarray, per_source: int, count: int, seed: int) -> np.ndarray:
    """(Q, C) places among the candidates: those that most sources have among their `per_source` best.

    Gates learnt on these alone care for the head of the lists; on all items, they would mostly learn to tell possible
    items from impossible ones, and lists got measurably worse. A source that says the same of all items has no best.
    """
    votes = np.random.default_rng(seed).random(excluded.shape, dtype=np.float32) * 0.5
    count, per_source = min(count, excluded.shape[1]), min(per_source, excluded.shape[1])
    rows = np.arange(excluded.shape[0])[:, None]
    for source in values:
        free = np.where(excluded, -np.inf, source)
        speaks = source.max(axis=1, keepdims=True) > source.min(axis=1, keepdims=True)
        votes[rows, np.argpartition(-free, per_source - 1, axis=1)[:, :per_source]] += speaks
    votes[excluded] = -1.0
    return np.asarray(np.argpartition(-votes, count - 1, axis=1)[:, :count])


def weighted(gates: Mapping[str, Gate], names: Sequence[str], values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(Q, C): the sources' scores (S, Q, C) added up under the gates."""
    weights = np.stack([gates[name](seen) for name in names]).astype(np.float32)
    return np.asarray(np.einsum("sq,sqc->qc", weights, values))


def lambda_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Logistic loss of the pairs (Q, C, C) of a wanted and another item, weighted by the change of nDCG at `DEPTH`."""
    import torch

    place = torch.argsort(torch.argsort(-logits.detach(), dim=1), dim=1)
    discount = torch.where(place < DEPTH, 1.0 / torch.log2(place + 2.0), torch.zeros(()))
    count = wanted.sum(dim=1).clamp(min=1, max=DEPTH)
    best = torch.cumsum(1.0 / torch.log2(torch.arange(DEPTH) + 2.0), dim=0)[count - 1]
    swap = (discount[:, :, None] - discount[:, None, :]).abs() / best[:, None, None]
    pairs = wanted[:, :, None] & ~wanted[:, None, :]
    loss = torch.nn.functional.softplus(logits[:, None, :] - logits[:, :, None])
    return (loss * swap * pairs).sum() / len(logits)


def _descend(optimiser: Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def draw_candidates(truth: sp.csr_matrix, popularity: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(Q, C) item numbers to learn on where the catalogue is large: the truth, popular items and random ones."""
    rng = np.random.default_rng(seed)
    items = truth.shape[1]
    popular = np.argsort(-popularity, kind="stable")[: count // 2]
    rows = []
    for query in range(truth.shape[0]):
        wanted = truth.indices[truth.indptr[query] : truth.indptr[query + 1]][: count // 4]
        pool = np.concatenate([wanted, popular, rng.integers(items, size=2 * count)])
        _, first = np.unique(pool, return_index=True)
        rows.append(pool[np.sort(first)][:count])
    width = min(len(row) for row in rows)
    return np.stack([row[:width] for row in rows])
