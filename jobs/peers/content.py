"""Nearest neighbours by text vectors alone."""

from __future__ import annotations

import numpy as np

from graph.dataset import Interactions
from graph.fit import Content
from graph.splits import Split
from jobs.peers.base import Choice, Peer, Scorer
from jobs.peers.closed import met


def _text_knn(train: Interactions, content: Content, choice: Choice, seed: int) -> Scorer:
    """A candidate's score: the sum of its likeness to the nearest `neighbours` items that the person met."""
    assert content.text is not None
    text = content.text - content.text.mean(axis=0) if choice["centred"] else content.text
    unit = text / np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-9)
    similar = unit @ unit.T

    def score(split: Split) -> np.ndarray:
        events = met(split)
        out = np.zeros(events.shape, dtype=np.float32)
        for row in range(events.shape[0]):
            own = similar[events.indices[events.indptr[row] : events.indptr[row + 1]]]
            count = min(int(choice["neighbours"]), len(own))
            if count:
                out[row] = np.partition(own, len(own) - count, axis=0)[len(own) - count :].sum(axis=0)
        return out

    return score


TEXT_KNN = Peer(
    "text_knn",
    "Reimers and Gurevych, Sentence-BERT, EMNLP 2019: nearest neighbours of its vectors",
    _text_knn,
    tuple(
        {"neighbours": neighbours, "centred": centred} for neighbours in (20, 5, 1, 100, 1000) for centred in (1.0, 0.0)
    ),
    needs_text=True,
    cold_items=True,
)
