"""How much each source weighs: learnt on sessions that were held out of what the sources are made from.

Owns the divisions of the data for this, what the sources say of the sessions held out, and the figures of a version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from graph.combine import contenders, draw_candidates, features, learn_gates, weighted
from graph.compare import Live
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.kernels import Kernel
from graph.metrics import per_query, top
from graph.model import Bias, Gate, context
from graph.splits import Split, learning_split, newest_split
from graph.warm import Warm

MANY_USERS = 10
"""With this many times more people than `max_queries` nothing is held out but of those who are asked about."""


class Weighed(Protocol):
    """What is weighed: sources made from the training part of a division."""

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Those that are linear in a person's events."""

    @property
    def biases(self) -> tuple[Bias, ...]:
        """Those that are the same for everybody."""

    @property
    def popularity(self) -> np.ndarray:
        """(N,): people who met each item."""


def divisions(
    data: Interactions, config: GraphConfig, large: bool, warm: Warm | None, since_ms: int | None = None
) -> list[Split]:
    """The divisions that the weights are learnt on; `since_ms` is the moment of `Split.fresh`.

    One, with held-out events of both kinds, where it has sessions enough. Else the data are divided twice, once with
    each kind: a third of the sessions of small data are too few for the weights of those without times.
    """
    combine = config.combine
    if warm is not None:
        splits = [newest_split(data, warm.until_ms, combine.held_out, combine.max_queries, config.seed)]
    else:
        few = combine.max_queries if data.shape[0] > MANY_USERS * combine.max_queries else None

        def divided(random_share: float, seed: int) -> Split:
            return learning_split(data, combine.held_out, random_share, combine.cold_share, seed, few, since_ms)

        splits = [divided(combine.random_share, config.seed)]
        if few is None and not large and len(splits[0].users) < combine.max_queries:
            splits = [divided(0.0, config.seed), divided(1.0, config.seed + 1)]
    return [
        sampled(split, combine.max_queries, config.seed) if len(split.users) > combine.max_queries else split
        for split in splits
    ]


@dataclass(frozen=True, eq=False)
class _Asked:
    """Held-out sessions with the scores (S, Q, C) of the sources, truth and excluded items (Q, C), C items each.

    `fresh` and `live` (Q, C) are what of the truth the version that serves has not seen, and its scores.
    """

    values: np.ndarray
    seen: np.ndarray
    truth: np.ndarray
    excluded: np.ndarray
    popularity: np.ndarray
    fresh: np.ndarray | None = None
    live: np.ndarray | None = None

    @classmethod
    def of(cls, sources: Weighed, split: Split, config: GraphConfig, live: Live | None) -> _Asked:
        sessions, seen, limit = split.sessions(), split.seen(), config.combine.candidates
        if split.truth.shape[1] <= limit:
            candidates, rows = None, None
            truth, excluded = split.truth.toarray() > 0, seen.toarray() > 0
            popularity = np.broadcast_to(sources.popularity, truth.shape)
        else:
            candidates = draw_candidates(split.truth, sources.popularity, limit, config.seed)
            rows = np.arange(len(sessions))[:, None]
            truth = np.asarray(split.truth[rows, candidates].todense()) > 0
            excluded = np.asarray(seen[rows, candidates].todense()) > 0
            popularity = sources.popularity[candidates]
        values = features(sources.kernels, sources.biases, sessions, candidates)
        asked = cls(values, context(sessions), truth, excluded, popularity)
        if live is None or split.fresh is None or not split.fresh.nnz:
            return asked
        fresh = split.fresh.toarray() if candidates is None else np.asarray(split.fresh[rows, candidates].todense())
        return replace(asked, fresh=fresh > 0, live=live.scores(split.train.item_ids, sessions, candidates))

    def head(self, config: GraphConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Scores, context, truth and excluded ones of the items that compete for the heads of the lists."""
        combine, each = config.combine, np.arange(len(self.seen))[:, None]
        places = contenders(self.values, self.excluded, combine.per_source, combine.contenders, config.seed)
        return self.values[:, each, places], self.seen, self.truth[each, places], self.excluded[each, places]


def weigh(
    parts: Sequence[tuple[Weighed, Split]],
    config: GraphConfig,
    known: dict[str, Gate] | None = None,
    live: Live | None = None,
) -> tuple[dict[str, Gate], dict[str, float]]:
    """Learn the gates on the held-out sessions, unless they are `known`, and say how good the lists are.

    The figures are honest: they are of one half of the sessions, ranked by gates that the other half gave. The gates
    returned are learnt on all of them. Known gates are measured on all sessions.

    Args:
        parts: divisions of the data, each with the sources made from its training part.
        live: the version that serves, with which the lists are compared on what it has not seen.
    """
    kernels, biases = parts[0][0].kernels, parts[0][0].biases
    names = [kernel.name for kernel in kernels] + [bias.name for bias in biases]
    alike = [kernel.fusion or kernel.name for kernel in kernels] + [bias.name for bias in biases]
    asked = [_Asked.of(sources, split, config, live) for sources, split in parts]
    heads = [each.head(config) for each in asked]
    width = min(head[0].shape[2] for head in heads)
    values = np.concatenate([head[0][:, :, :width] for head in heads], axis=1)
    seen = np.concatenate([head[1] for head in heads])
    truth, excluded = (np.concatenate([head[place][:, :width] for head in heads]) for place in (2, 3))

    def learn(rows: np.ndarray) -> dict[str, Gate]:
        return learn_gates(
            names, values[:, rows], seen[rows], truth[rows], excluded[rows], config.combine.steps, config.seed, alike
        )

    half = np.random.default_rng(config.seed).random(len(seen)) < (0.5 if known is None else 1.0)
    figures: dict[str, float] = {}
    if half.any() and (known is not None or not half.all()):
        figures = _figures(asked, names, known or learn(~half), half)
    return known or learn(np.ones(len(seen), dtype=bool)), figures


def _figures(
    asked: Sequence[_Asked], names: Sequence[str], gates: Mapping[str, Gate], of: np.ndarray
) -> dict[str, float]:
    """How good the lists of the sessions `of` (Q,) are, those of what is popular, and those of the live version.

    A name that ends in `_error` is the standard error: of the mean, or of the mean difference to the lists of the new
    version, which is less, since the sessions are the same.
    """
    found: dict[str, list[np.ndarray]] = {}
    start = 0
    for each in asked:
        rows = of[start : start + len(each.seen)]
        start += len(each.seen)
        scores = weighted(gates, names, each.values[:, rows], each.seen[rows])
        truth, hidden = each.truth[rows], each.excluded[rows]
        for name, values in _judged(scores, truth, hidden).items():
            found.setdefault(f"{name}@10", []).append(values)
        found.setdefault("popularity_ndcg@10", []).append(_judged(each.popularity[rows], truth, hidden)["ndcg"])
        if each.fresh is None or each.live is None:
            continue
        # What is held out and not new is what the live version was made from: nobody is asked for it.
        fresh, hidden = each.fresh[rows], hidden | (truth & ~each.fresh[rows])
        for name, scored in (("newest_ndcg@10", scores), ("newest_live_ndcg@10", each.live[rows])):
            found.setdefault(name, []).append(_judged(scored, fresh, hidden)["ndcg"])
    joined = {name: np.concatenate(values) for name, values in found.items()}
    figures = {name: float(values.mean()) if len(values) else 0.0 for name, values in joined.items()}
    figures |= {"sessions": float(of.sum()), "ndcg@10_error": _error(joined["ndcg@10"])}
    figures["popularity_error"] = _error(joined["ndcg@10"] - joined["popularity_ndcg@10"])
    if "newest_ndcg@10" in joined:
        ours, theirs = joined["newest_ndcg@10"], joined["newest_live_ndcg@10"]
        figures |= {"newest_sessions": float(len(ours)), "newest_error": _error(ours - theirs)}
    return {name: round(value, 5) for name, value in figures.items()}


def _judged(scores: np.ndarray, truth: np.ndarray, excluded: np.ndarray) -> dict[str, np.ndarray]:
    """The figures (Q',) of the ten best of each row, of the sessions that have a truth."""
    hidden = sp.csr_matrix(excluded, dtype=np.float32)
    return per_query(top(scores, 10, hidden), sp.csr_matrix(truth & ~excluded, dtype=np.float32))


def _error(values: np.ndarray) -> float:
    """Standard error of the mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def sampled(split: Split, count: int, seed: int) -> Split:
    """The division with `count` of its sessions, drawn at random."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(split.users))[:count])
    fresh = None if split.fresh is None else split.fresh[rows]
    return replace(split, users=split.users[rows], truth=split.truth[rows], fresh=fresh)
