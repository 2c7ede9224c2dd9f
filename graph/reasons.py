"""Why an item is in a list: the parts of its score. They add up to it."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from cluster.messages import Reason

REST = "people_like_you"
TEXT = "similar_text"
FRESH = "fresh"
RULE = "rule"
EXPLORE = "explore"
_BY_WEIGHT = attrgetter("weight")


def reasons_of(
    events: Sequence[int],
    item_ids: Sequence[str],
    liked: np.ndarray,
    text: np.ndarray,
    text_totals: Sequence[float],
    biases: Sequence[tuple[str, list[float]]],
    scores: Sequence[float],
    count: int,
    unmet: Sequence[bool],
    extras: Sequence[Sequence[Reason]] | None = None,
) -> list[tuple[Reason, ...]]:
    """For each of n items of one session its reasons, greatest first.

    The `count` events that carried most are named (`because_liked`), the content's share goes to the event most alike
    (`similar_text`), the biases to `popular`, or to `fresh` for what nobody met yet; what rules and exploration add
    comes as it is (`rule`, `explore`). What the other events carried together, through people with the same taste, is
    `people_like_you`, and may be negative.

    Args:
        events: numbers of the items of the session's E events. item_ids: of all items.
        liked: (n, E), what each carried through behaviour. text: (n, E), through content, in sum `text_totals` (n,).
        biases: kinds with their parts (n,). scores: (n,). unmet: (n,), whether nobody met the item.
        extras: of each item what else its score is made of.
    """
    named = min(count, len(events))
    if named:
        best = np.argpartition(liked, len(events) - named, axis=1)[:, len(events) - named :]
        values = liked[np.arange(len(liked))[:, None], best].tolist()
        places = best.tolist()
        text_places = text.argmax(axis=1).tolist()
    result = []
    for item, rest in enumerate(scores):
        reasons: list[Reason] = []
        if named:
            for place, value in zip(places[item], values[item], strict=True):
                if value > 0:
                    reasons.append(Reason("because_liked", value, item_ids[events[place]]))
                    rest -= value
            if text_totals[item] > 0:
                reasons.append(Reason(TEXT, text_totals[item], item_ids[events[text_places[item]]]))
                rest -= text_totals[item]
        for kind, parts in biases:
            if parts[item]:
                reasons.append(Reason(FRESH if unmet[item] else kind, parts[item]))
                rest -= parts[item]
        for reason in extras[item] if extras is not None else ():
            reasons.append(reason)
            rest -= reason.weight
        if abs(rest) > 1e-9:
            reasons.append(Reason(REST, rest))
        reasons.sort(key=_BY_WEIGHT, reverse=True)
        result.append(tuple(reasons))
    return result
