"""From the chosen items to lists: what each item's score is made of, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter

import numpy as np

from cluster.columns import NO_REASONS, ListColumns
from cluster.messages import RankedItem, RankedList, RankQuery, Reason
from graph.choosing import Chosen
from graph.reasons import EXPLORE, FRESH, RULE, TEXT, Parts, reasons_of
from graph.scoring import Batch, Scorer, label
from graph.steering import Steering

POPULAR = "popular"
_BY_WEIGHT = attrgetter("weight")


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
        sizes = [len(one.items) for one in chosen]
        width = max(sizes, default=0)
        if not width:
            return [RankedList((), self.version) for _ in queries]
        grid = np.zeros((len(queries), width), dtype=np.int64)
        scores = np.zeros(grid.shape)
        for row, one in enumerate(chosen):
            grid[row, : sizes[row]] = one.items
            scores[row, : sizes[row]] = one.scores
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
        names = [*shares, FRESH] if shares else [POPULAR, FRESH]
        top = np.stack(list(shares.values())).argmax(axis=0) if shares else np.zeros(grid.shape, dtype=np.int64)
        sources = np.where(grid < len(self.scorer.model.item_ids), top, len(names) - 1).tolist()
        # Of people of whom nothing is known, the biases are all there is to the score.
        known = batch.sessions.lengths > 0
        bare = sum(biases.values(), start=np.zeros(grid.shape))
        scores = np.where(known[:, None], scores - self.tie[grid], bare)
        extras = {row: _extras(chosen[row], own) for row, own in enumerate(steering) if _is_special(chosen[row], own)}
        extra = np.zeros(grid.shape)
        for row, of_items in extras.items():
            for place, parts in enumerate(of_items):
                extra[row, place] = sum(reason.weight for reason in parts)
                # The scores of a session hold what rules add; exploration adds to none that it chose by.
                scores[row, place] += sum(r.weight for r in parts if not known[row] or r.kind == EXPLORE)
        reasons = [NO_REASONS] * len(queries)
        if any(query.explain for query in queries):
            told = [size if query.explain else 0 for query, size in zip(queries, sizes, strict=True)]
            made_of = Parts(*batch.carried(grid), text_total, biases, extra)
            count = self.scorer.model.config.serving.reasons
            reasons = reasons_of(batch.sessions, self.items, told, made_of, scores, self.unmet[grid], count)
        lists: list[RankedList] = []
        for row, (one, of_row, from_row) in enumerate(zip(chosen, scores.tolist(), sources, strict=True)):
            ids, named = map(self.items.__getitem__, one.items.tolist()), map(names.__getitem__, from_row)
            places = list(zip(ids, of_row, repeat(1.0), named, strict=False))
            made = ListColumns(places, reasons[row], self.version)
            if row in extras:
                lists.append(_special(made, queries[row].explain, one, steering[row], extras[row]))
            else:
                lists.append(made)
        return lists


def _is_special(one: Chosen, steering: Steering) -> bool:
    return one.bonus is not None or bool(steering)


def _special(
    made: ListColumns, explain: bool, one: Chosen, steering: Steering, extras: Sequence[Sequence[Reason]]
) -> RankedList:
    """A list that explores, or that rules had a say in."""
    chances = [1.0] * len(one.items) if one.propensity is None else one.propensity.tolist()
    drawn = [False] * len(one.items) if one.bonus is None else (one.bonus > 0).tolist()
    rules = steering.touched(one.items, one.placed)
    items = []
    for entry, chance, new, more, touched in zip(made.items, chances, drawn, extras, rules, strict=True):
        reasons = tuple(sorted([*entry.reasons, *more], key=_BY_WEIGHT, reverse=True)) if explain else ()
        source = EXPLORE if new else entry.source
        items.append(RankedItem(entry.item_id, entry.score, source, reasons, chance, touched))
    return RankedList(tuple(items), made.model_version)


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
