"""Two models on the same held-out sessions, each with the items that it knows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from graph.combine import draw_candidates
from graph.config import GraphConfig
from graph.kernels import Sessions
from graph.metrics import ndcg, top
from graph.model import Model, context
from graph.splits import Split


def figure_of(model: Model, item_ids: tuple[str, ...], split: Split, config: GraphConfig) -> float:
    """nDCG@10 of a model that may lack some of the `item_ids` (N,) of the split, measured as in `graph.fit.weigh`.

    Items that the model does not know can be in its lists no more than they could be when it was made.
    """
    place = {item_id: number for number, item_id in enumerate(model.item_ids)}
    known = np.array([place.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
    sessions, seen = split.sessions(), split.seen()
    kept = known[sessions.item] >= 0
    ends = np.concatenate(([0], np.cumsum(kept)))[sessions.offsets]
    ours = Sessions(ends, known[sessions.item[kept]], sessions.strength[kept], sessions.times)
    popularity = np.asarray(split.train.pairs.positive.sum(axis=0)).ravel()
    if len(item_ids) > config.combine.candidates:
        candidates = draw_candidates(split.truth, popularity, config.combine.candidates, config.seed)
    else:
        candidates = np.tile(np.arange(len(item_ids)), (len(sessions), 1))
    at = known[candidates]
    x = context(ours)
    scores = np.zeros(candidates.shape, dtype=np.float32)
    for kernel in model.active:
        scores += kernel.scores_at(ours, np.maximum(at, 0)) * model.gates[kernel.name](x)[:, None].astype(np.float32)
    for bias in model.active_biases:
        scores += model.gates[bias.name](x)[:, None].astype(np.float32) * bias.values[np.maximum(at, 0)]
    scores[at < 0] = scores.min() - 1.0
    rows = np.arange(len(sessions))[:, None]
    truth = np.asarray(split.truth[rows, candidates].todense()) > 0
    excluded = np.asarray(seen[rows, candidates].todense()) > 0
    hidden = sp.csr_matrix(excluded, dtype=np.float32)
    return ndcg(top(scores, 10, hidden), sp.csr_matrix(truth & ~excluded, dtype=np.float32))
