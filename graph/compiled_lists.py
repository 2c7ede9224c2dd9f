"""Loops from scores to lists and their reasons, compiled (see `graph.compiled`)."""

from __future__ import annotations

import numpy as np

from graph.compiled import comparing


@comparing
def insert(values: np.ndarray, numbers: np.ndarray, found: int, value: float, number: int) -> int:
    """Put a value among the first `found` of `values` (n,), greatest first, its number beside it; how many there are.

    It stands behind its equals. Where there are n already the last one goes, so the value is to be greater than that.
    """
    at = min(found, len(values) - 1)
    while at > 0 and values[at - 1] < value:
        values[at], numbers[at] = values[at - 1], numbers[at - 1]
        at -= 1
    values[at], numbers[at] = value, number
    return min(found + 1, len(values))


@comparing
def best_places(scores: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Fill `places` (Q, n) and `values` (Q, n) with the greatest scores of each row of `scores` (Q, N), greatest first.

    Of equal ones the first stands first. What is not finite is not found: its place stays what it was, its value too.
    """
    size = places.shape[1]
    for row in range(len(scores)):
        of_row, best, value = scores[row], places[row], values[row]
        found, least = 0, np.float32(-np.inf)
        for place in range(len(of_row)):
            score = of_row[place]
            if score > least and score < np.inf:
                found = insert(value, best, found, score, place)
                if found == size:
                    least = value[size - 1]


@comparing
def strongest(
    ends: np.ndarray,
    strength: np.ndarray,
    parts: np.ndarray,
    told: np.ndarray,
    weights: np.ndarray,
    events: np.ndarray,
) -> None:
    """Of the parts (P, n) that each session's events carry of its n items, the greatest for each item, greatest first.

    Events whose `strength` (P,) is negative are left out: what is unlike a thing that was refused is not in a list
    "because of" that thing. `weights` (Q, n, c) and `events` (Q, n, c) are filled for the first `told` (Q,) items of a
    session; where there are fewer than c such events the rest stays as it was.
    """
    count = weights.shape[2]
    for query in range(len(ends) - 1):
        for place in range(told[query]):
            weight, event = weights[query, place], events[query, place]
            found = 0
            for row in range(ends[query], ends[query + 1]):
                part = parts[row, place]
                if strength[row] < 0 or (found == count and part <= weight[count - 1]):
                    continue
                found = insert(weight, event, found, part, row)


@comparing
def put_together(
    ends: np.ndarray,
    item: np.ndarray,
    told: np.ndarray,
    weights: np.ndarray,
    events: np.ndarray,
    biases: np.ndarray,
    rest: np.ndarray,
    unmet: np.ndarray,
    least: float,
    counts: np.ndarray,
    kinds: np.ndarray,
    found: np.ndarray,
    who: np.ndarray,
) -> int:
    """The parts of the scores of Q lists, greatest first, one place after the other; how many there are.

    Of each place: `weights` (Q, n, c) that `events` (Q, n, c) carried, each a kind of its own from 0; `biases`
    (Q, n, b), kinds from c on; and `rest` (Q, n), the next kind, unless it is `least` or less. For an item of `unmet`
    (Q, n) the kind of biases is the last one. What is 0 is left out. `counts` (Q, n) of the parts of the first `told`
    (Q,) places of each list, and `kinds`, `found` (weights) and `who` (items, -1 for none) of all parts are filled.
    """
    carried, shared = weights.shape[2], biases.shape[2]
    made = 0
    for query in range(len(told)):
        for place in range(told[query]):
            first = made
            for part in range(carried + shared + 1):
                number, kind, value = -1, part, np.float64(0.0)
                if part < carried:
                    if weights[query, place, part] > 0.0 and events[query, place, part] >= 0:
                        number, value = item[events[query, place, part]], weights[query, place, part]
                elif part < carried + shared:
                    value = biases[query, place, part - carried]
                    if unmet[query, place]:
                        kind = carried + shared + 1
                elif abs(rest[query, place]) > least:
                    value = rest[query, place]
                if value == 0.0:
                    continue
                at = made
                while at > first and found[at - 1] < value:
                    found[at], kinds[at], who[at] = found[at - 1], kinds[at - 1], who[at - 1]
                    at -= 1
                found[at], kinds[at], who[at] = value, kind, number
                made += 1
            counts[query, place] = made - first
    return made
