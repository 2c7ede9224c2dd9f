"""From the chosen items to lists: what each item's score is made of, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cluster.messages import RankedItem, RankedList, RankQuery, Reason
from graph.choosing import Chosen
from graph.reasons import EXPLORE, RULE, TEXT, reasons_of
from graph.scoring import Batch, Scorer, label
from graph.steering import Steering


@dataclass(frozen=True, eq=False)
class Lister:
    """Of all items `items` (N,) are the ids, `tie` (N,) the random part of a score; `unmet` (N,) nobody met."""

    scorer: Scorer
    items: tuple[str, ...]
    tie: np.ndarray
    unmet: np.ndarray
    version: str

    def lists(
        self, queries: Sequence[RankQuery], batch: Batch, chosen: Sequence[Chosen], steering: Sequence[Steering]
    ) -> list[RankedList]:
        """The lists of the queries whose items were chosen."""
        sessions, item_ids = batch.sessions, self.items
        width = max((len(one.items) for one in chosen), default=0)
        if not width:
            return [RankedList((), self.version) for _ in queries]
        grid = np.zeros((len(queries), width), dtype=np.int64)
        for row, one in enumerate(chosen):
            grid[row, : len(one.items)] = one.items
        shares: dict[str, np.ndarray] = {}
        text_total = np.zeros(grid.shape)
        for kernel, share in batch.shares(grid):
            name = label(kernel.name)
            shares[name] = shares[name] + share if name in shares else share
            if kernel.kind == TEXT:
                text_total += share
        biases: dict[str, np.ndarray] = {}
        for place, bias in enumerate(self.scorer.biases):
            part = self.scorer.bias_values[place][grid] * batch.bias_gates[:, place, None]
            biases[bias.kind] = biases[bias.kind] + part if bias.kind in biases else part
        shares |= biases
        names = list(shares)
        top = np.stack([shares[name] for name in names]).argmax(axis=0).tolist() if names else None
        explained = any(query.explain for query in queries)
        liked, text = batch.carried(grid) if explained and len(sessions.item) else (None, None)
        # Of people of whom nothing is known, the biases are all there is to the score.
        bare = sum(biases.values(), start=np.zeros(grid.shape)).tolist()
        text_totals = text_total.tolist()
        by_kind = [(kind, part.tolist()) for kind, part in biases.items()]
        offsets, events = sessions.offsets.tolist(), sessions.item.tolist()
        count, known = self.scorer.model.config.serving.reasons, len(self.scorer.model.item_ids)
        lists = []
        for row, (query, one, own) in enumerate(zip(queries, chosen, steering, strict=True)):
            start, end = offsets[row], offsets[row + 1]
            numbers, values = one.items, one.scores
            items = numbers.tolist()
            scores = (values - self.tie[numbers]).tolist() if end > start else bare[row][: len(items)]
            extras = _extras(one, own) if own.shifts or one.bonus is not None else None
            if extras is not None:
                # The scores of a session hold what rules add; exploration adds to none that it chose by.
                scores = [
                    score + sum(reason.weight for reason in extra if end <= start or reason.kind == EXPLORE)
                    for score, extra in zip(scores, extras, strict=True)
                ]
            reasons: list[tuple[Reason, ...]] = [()] * len(items)
            if query.explain:
                own_events = slice(start, end)
                none = np.zeros((len(items), 0))
                reasons = reasons_of(
                    events[start:end],
                    item_ids,
                    none if liked is None else liked[: len(items), own_events],
                    none if text is None else text[: len(items), own_events],
                    text_totals[row],
                    [(kind, parts[row]) for kind, parts in by_kind],
                    scores,
                    count,
                    self.unmet[numbers].tolist(),
                    extras,
                )
            sources = [names[place] for place in top[row]] if top else ["popular"] * len(items)
            sources = [name if item < known else "fresh" for name, item in zip(sources, items, strict=False)]
            if one.bonus is None and not own:
                ranked = map(RankedItem, [item_ids[item] for item in items], scores, sources, reasons)
            else:
                drawn = [False] * len(items) if one.bonus is None else (one.bonus > 0).tolist()
                sources = [EXPLORE if new else name for name, new in zip(sources, drawn, strict=True)]
                chances = [1.0] * len(items) if one.propensity is None else one.propensity.tolist()
                rules = own.touched(numbers, one.placed)
                ranked = map(RankedItem, [item_ids[item] for item in items], scores, sources, reasons, chances, rules)
            lists.append(RankedList(tuple(ranked), self.version))
        return lists


def _extras(one: Chosen, steering: Steering) -> list[list[Reason]]:
    """Of each item what rules and exploration add to its score."""
    extras: list[list[Reason]] = [[] for _ in one.items]
    for shift, inside in steering.moves_of(one.items):
        for place in np.flatnonzero(inside).tolist():
            extras[place].append(Reason(RULE, shift.by, feature=shift.rule_id))
    if one.bonus is not None:
        for place in np.flatnonzero(one.bonus).tolist():
            extras[place].append(Reason(EXPLORE, float(one.bonus[place])))
    return extras
