"""Why an item is in a list: the parts of its score. They add up to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cluster.columns import NO_REASONS, Reasons
from graph.kernels import Sessions

LIKED = "because_liked"
REST = "people_like_you"
TEXT = "similar_text"
LEAST = 1e-9
"""What is left of a score below this is nobody's share."""


def reasons_of(
    sessions: Sessions,
    item_ids: Sequence[str],
    lengths: Sequence[int],
    liked: np.ndarray,
    text: np.ndarray,
    text_total: np.ndarray,
    biases: Mapping[str, np.ndarray],
    scores: np.ndarray,
    count: int,
) -> list[Reasons]:
    """For each of Q lists of n places the reasons, of each place the greatest first.

    The `count` events that carried most are named (`because_liked`), the content's share goes to the event most alike
    (`similar_text`), the biases to `popular` and `fresh`; what the other events carried together, through people with
    the same taste, is `people_like_you`, and may be negative.

    Args:
        sessions: of the lists. item_ids: of all items. lengths: (Q,) places that each list has; 0 for no reasons.
        liked: (n, P), what each event carried through behaviour. text: (n, P), through content.
        text_total: (Q, n), through content in sum. biases: kinds with their parts (Q, n). scores: (Q, n).
    """
    queries, width = scores.shape
    kinds = [LIKED] * count + [TEXT, *biases, REST]
    weight = np.zeros((queries, width, len(kinds)))
    who = np.full((queries, width, len(kinds)), -1, dtype=np.int64)
    offsets, places = sessions.offsets.tolist(), np.arange(width)[:, None]
    for row in range(queries):
        start, end = offsets[row], offsets[row + 1]
        if start == end or not lengths[row]:
            continue
        named, events, own = min(count, end - start), sessions.item[start:end], liked[:, start:end]
        best = np.argpartition(own, end - start - named, axis=1)[:, end - start - named :]
        weight[row, :, :named] = own[places, best]
        who[row, :, :named] = events[best]
        who[row, :, count] = events[text[:, start:end].argmax(axis=1)]
    weight[:, :, count] = np.where(sessions.lengths[:, None] > 0, text_total, 0.0)
    np.maximum(weight, 0.0, out=weight)
    for place, part in enumerate(biases.values(), count + 1):
        weight[:, :, place] = part
    rest = scores - weight.sum(axis=2)
    weight[:, :, -1] = np.where(np.abs(rest) > LEAST, rest, 0.0)
    there = (weight != 0) & (np.arange(width) < np.asarray(lengths)[:, None])[:, :, None]
    order = np.argsort(np.where(there, -weight, np.inf), axis=2, kind="stable")
    there = np.take_along_axis(there, order, axis=2)
    weights = np.take_along_axis(weight, order, axis=2)[there].tolist()
    named_by = np.take_along_axis(who, order, axis=2)[there].tolist()
    names = list(map(kinds.__getitem__, order[there].tolist()))
    ids = [item_ids[number] if number >= 0 else None for number in named_by]
    counts = there.sum(axis=2)
    found, start = [], 0
    for row, (length, of_row) in enumerate(zip(lengths, counts.sum(axis=1).tolist(), strict=True)):
        if not length:
            found.append(NO_REASONS)
            continue
        own_span = slice(start, start + of_row)
        found.append((counts[row, :length].tolist(), names[own_span], weights[own_span], ids[own_span]))
        start += of_row
    return found
