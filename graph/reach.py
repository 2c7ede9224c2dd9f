"""What each item lacks to be shown to anybody: the shadow prices of a coverage of the catalogue.

For the sessions that a model was trained on it is known how far each item's score is below that of the last place of
the list. The `SHARE` of the people whom an item suits best would see it if its score were raised by the least of
their gaps: so much it lacks. To raise it by that costs those few lists one last place, and nobody else anything, where
a discount for popularity would change every list.
"""

from __future__ import annotations

import numpy as np

from graph.dataset import Pairs
from graph.kernels import Sessions
from graph.model import Model
from graph.scoring import Scorer

LENGTH = 10
"""Places of the lists that are meant."""
SHARE = 0.002
"""Of the people, those whom an item is to be shown to; two at least."""
MAX_SESSIONS = 3_000
MAX_SCORES = 60_000_000
"""Scores that are computed at most, of fewer sessions where there are more items; nothing is raised where even..."""
MIN_SESSIONS = 200
"""...so many would be too many."""
STEP = 64
LEAST = np.finfo(np.float32).min


def reach_of(model: Model, pairs: Pairs, seed: int) -> np.ndarray | None:
    """(2, N) float32, not negative: what each item lacks in lists for sessions with times, and for those without.

    None where there are too few sessions, or too many items, to tell.
    """
    items = len(model.item_ids)
    people = np.flatnonzero(np.diff(pairs.offsets) > 0)
    count = min(MAX_SESSIONS, MAX_SCORES // max(items, 1))
    if len(people) < 2 or count < MIN_SESSIONS or items <= LENGTH:
        return None
    if len(people) > count:
        people = np.sort(np.random.default_rng(seed).permutation(people)[:count])
    shown_to = max(2, round(SHARE * len(people)))
    scorer = Scorer(model)
    lacks = []
    for times in (1.0, 0.0):
        least = np.full((shown_to, items), np.inf, dtype=np.float32)
        for start in range(0, len(people), STEP):
            rows = [slice(pairs.offsets[user], pairs.offsets[user + 1]) for user in people[start : start + STEP]]
            sessions = Sessions.join(
                [(pairs.item[row], pairs.strength[row]) for row in rows], np.full(len(rows), times)
            )
            scores = scorer.all_scores(scorer.read(sessions))
            scores[sessions.query, sessions.item] = -np.inf
            # Who has met nearly everything is shown all that is left.
            last = np.maximum(np.partition(scores, items - LENGTH, axis=1)[:, items - LENGTH], LEAST)
            gaps = np.concatenate([least, last[:, None] - scores])
            least = np.partition(gaps, shown_to - 1, axis=0)[:shown_to]
        worst = least.max(axis=0)
        lacks.append(np.where(np.isfinite(worst), np.maximum(worst, 0.0), 0.0))
    return np.stack(lacks).astype(np.float32)
