"""Why an item is in a list: the parts of its score. They add up to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluster.columns import NO_REASONS, Reasons
from graph.compiled_lists import put_together, strongest
from graph.kernels import Sessions

LIKED = "because_liked"
REST = "people_like_you"
TEXT = "similar_text"
FRESH = "fresh"
RULE = "rule"
EXPLORE = "explore"
LEAST = 1e-9
"""What is left of a score below this is nobody's share."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What the scores (Q, n) of Q lists are made of.

    `liked` (P, n) is what each event carried through behaviour, `text` (P, n) through content, in sum `text_total`
    (Q, n). `biases` are kinds with their parts (Q, n), `extra` (Q, n) what rules and exploration add.
    """

    liked: np.ndarray
    text: np.ndarray
    text_total: np.ndarray
    biases: Mapping[str, np.ndarray]
    extra: np.ndarray


def reasons_of(
    sessions: Sessions,
    item_ids: Sequence[str],
    lengths: Sequence[int],
    parts: Parts,
    scores: np.ndarray,
    unmet: np.ndarray,
    count: int,
) -> list[Reasons]:
    """For each of Q lists of n places the reasons, of each place the greatest first.

    The `count` events that carried most are named (`because_liked`), the content's share goes to the event most alike
    (`similar_text`), the biases to `popular`, or to `fresh` for what nobody met yet. What was disliked is never named.
    What rules and exploration add is told by whoever knows of them. What the other events carried together, through
    people with the same taste, is `people_like_you`, and may be negative.

    Args:
        sessions: of the lists. item_ids: of all items. lengths: (Q,) places that each list has; 0 for no reasons.
        parts: of the scores (Q, n). unmet: (Q, n), whether nobody met the item.
    """
    queries, width = scores.shape
    kinds = [LIKED] * count + [TEXT, *parts.biases, REST, FRESH]
    known = sessions.lengths > 0
    weight = np.zeros((queries, width, count + 1), dtype=np.float64)
    who = np.full(weight.shape, -1, dtype=np.int64)
    told = np.asarray(lengths, dtype=np.int64)
    ends, strength = sessions.offsets, sessions.strength
    strongest(ends, strength, parts.liked, told, weight[:, :, :count], who[:, :, :count])
    strongest(ends, strength, parts.text, told, weight[:, :, count:], who[:, :, count:])
    weight[:, :, count] = np.where(known[:, None] & (who[:, :, count] >= 0), parts.text_total, 0.0)
    np.maximum(weight, 0.0, out=weight)
    biases = np.zeros((queries, width, len(parts.biases)))
    for place, part in enumerate(parts.biases.values()):
        biases[:, :, place] = part
    rest = scores - weight.sum(axis=2) - biases.sum(axis=2) - parts.extra
    counts = np.zeros(scores.shape, dtype=np.int64)
    most = scores.size * (len(kinds) - 1)
    codes, weights, numbers = np.empty(most, np.int64), np.empty(most), np.empty(most, np.int64)
    made = put_together(
        sessions.offsets,
        sessions.item,
        told,
        weight,
        who,
        biases,
        rest,
        unmet,
        LEAST,
        counts,
        codes,
        weights,
        numbers,
    )
    names = list(map(kinds.__getitem__, codes[:made].tolist()))
    ids = [item_ids[number] if number >= 0 else None for number in numbers[:made].tolist()]
    values = weights[:made].tolist()
    found: list[Reasons] = []
    start = 0
    of_lists: Any = counts.tolist()
    for length, of_list in zip(lengths, of_lists, strict=True):
        end = start + sum(of_list)
        found.append((of_list[:length], names[start:end], values[start:end], ids[start:end]) if length else NO_REASONS)
        start = end
    return found
