"""Why an item is in a list: the parts of its score. They add up to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluster.messages import Reason

REST = "people_like_you"


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of the scores of n items for one session.

    `events` are the item ids of the session's E events; `liked` and `text` (E, n) what each carried through behaviour
    and through content; `biases` (kind -> (n,)) what is the same for everybody.
    """

    events: tuple[str, ...]
    liked: np.ndarray
    text: np.ndarray
    biases: dict[str, np.ndarray]

    def totals(self) -> np.ndarray:
        """(n,) the scores."""
        total = self.liked.sum(axis=0) + self.text.sum(axis=0)
        for values in self.biases.values():
            total = total + values
        return np.asarray(total)


def reasons_of(parts: Parts, count: int) -> list[tuple[Reason, ...]]:
    """For each item its reasons, greatest first.

    The `count` events that carried most are named (`because_liked`), the content's share goes to the event most alike
    (`similar_text`), the biases to `popular` and `fresh`; what the other events carried together, through people with
    the same taste, is `people_like_you`, and may be negative.
    """
    total = parts.totals().tolist()
    events, items = parts.liked.shape
    named = min(count, events)
    if events:
        best = (
            np.argpartition(-parts.liked, named - 1, axis=0)[:named]
            if named < events
            else np.tile(np.arange(events)[:, None], (1, items))
        )
        best_values = np.take_along_axis(parts.liked, best, axis=0).T.tolist()
        best_rows = best.T.tolist()
        text_total = parts.text.sum(axis=0).tolist()
        text_event = parts.text.argmax(axis=0).tolist()
    biases = {kind: values.tolist() for kind, values in parts.biases.items()}
    result = []
    for item in range(items):
        reasons = []
        rest = total[item]
        if events:
            for row, value in zip(best_rows[item], best_values[item], strict=True):
                if value > 0:
                    reasons.append(Reason("because_liked", value, parts.events[row]))
                    rest -= value
            if text_total[item] > 0:
                reasons.append(Reason("similar_text", text_total[item], parts.events[text_event[item]]))
                rest -= text_total[item]
        for kind, values in biases.items():
            if values[item]:
                reasons.append(Reason(kind, values[item]))
                rest -= values[item]
        if abs(rest) > 1e-9:
            reasons.append(Reason(REST, rest))
        reasons.sort(key=lambda reason: -reason.weight)
        result.append(tuple(reasons))
    return result
