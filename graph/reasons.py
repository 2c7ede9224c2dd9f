"""Why an item is in a list: the parts of its score. They add up to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.columns import NO_REASONS, Reasons
from graph.compiled import strongest
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
    (`similar_text`), the biases to `popular`, or to `fresh` for what nobody met yet. What rules and exploration add is
    told by whoever knows of them. What the other events carried together, through people with the same taste, is
    `people_like_you`, and may be negative.

    Args:
        sessions: of the lists. item_ids: of all items. lengths: (Q,) places that each list has; 0 for no reasons.
        parts: of the scores (Q, n). unmet: (Q, n), whether nobody met the item.
    """
    queries, width = scores.shape
    kinds = [LIKED] * count + [TEXT, *parts.biases, REST, FRESH]
    weight = np.zeros((queries, width, len(kinds) - 1))
    who = np.full(weight.shape, -1, dtype=np.int64)
    kind = np.broadcast_to(np.arange(len(kinds) - 1), weight.shape).copy()
    told = np.where(sessions.lengths > 0, np.asarray(lengths), 0)
    best = np.zeros((queries, width, count), dtype=np.float32)
    strongest(sessions.offsets, parts.liked, told, best, who[:, :, :count])
    weight[:, :, :count] = best
    alike = np.zeros((queries, width, 1), dtype=np.float32)
    strongest(sessions.offsets, parts.text, told, alike, who[:, :, count : count + 1])
    who = np.where(who >= 0, sessions.item[who], -1) if len(sessions.item) else who
    weight[:, :, count] = np.where(sessions.lengths[:, None] > 0, parts.text_total, 0.0)
    np.maximum(weight, 0.0, out=weight)
    for place, part in enumerate(parts.biases.values(), count + 1):
        weight[:, :, place] = part
        kind[unmet, place] = len(kinds) - 1
    rest = scores - weight.sum(axis=2) - parts.extra
    weight[:, :, -1] = np.where(np.abs(rest) > LEAST, rest, 0.0)
    there = (weight != 0) & (np.arange(width) < np.asarray(lengths)[:, None])[:, :, None]
    order = np.argsort(np.where(there, -weight, np.inf), axis=2, kind="stable")
    there = np.take_along_axis(there, order, axis=2)
    weights, numbers, codes = (np.take_along_axis(grid, order, axis=2)[there].tolist() for grid in (weight, who, kind))
    names = list(map(kinds.__getitem__, codes))
    ids = [item_ids[number] if number >= 0 else None for number in numbers]
    counts = there.sum(axis=2)
    found, start = [], 0
    for row, (length, of_row) in enumerate(zip(lengths, counts.sum(axis=1).tolist(), strict=True)):
        own_span = slice(start, start + of_row)
        start += of_row
        of_list = counts[row, :length].tolist(), names[own_span], weights[own_span], ids[own_span]
        found.append(of_list if length else NO_REASONS)
    return found
