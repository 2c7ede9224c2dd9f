"""An outside judge's task: train on a file, know the listed users by their visible events only, rank the candidates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cluster.errors import InputError
from cluster.messages import MAX_ID_CHARS, Item, RankQuery, SessionView
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.ranking import Ranker
from graph.reporting import Report
from graph.weights import EventWeights
from jobs.evaluation_files import rated_as, read_catalogue, read_columns

HELD_OUT = ("auto", "random", "last")
OPEN = 0.8
"""The share of what comes next where it is not known: what is lost of either is about the same."""


@dataclass(frozen=True, eq=False)
class Task:
    """An outside judge's task."""

    train: Interactions
    views: list[SessionView]
    candidates: frozenset[str]
    items: dict[str, Item]
    weights: EventWeights

    def share_of_now(self, held_out: str) -> float:
        """How far lists are to say what comes next: fully where the judge holds out the `last` events, not at all for
        `random` ones.

        Files do not say which of the two it is. `auto`: of strangers it is asked what they do next, of the others it
        stays open. Events without times have no next ones in any case.
        """
        if held_out != "auto":
            return 1.0 if held_out == "last" else 0.0
        known = frozenset(self.train.user_ids)
        strangers = sum(view.user_id not in known for view in self.views)
        return 1.0 if 2 * strangers > len(self.views) else OPEN

    def lists(
        self,
        config: GraphConfig,
        vectors: Mapping[str, np.ndarray],
        k: int,
        held_out: str,
        report: Report | None,
    ) -> dict[str, list[str]]:
        """Train as a refresh does, and rank the candidates for each user. `held_out` as in `share_of_now`."""
        content = Content.of(self.train.item_ids, self.items, config, vectors)
        ranker = Ranker(fit(self.train, content, self.weights, config, report), "judged")
        ranker = ranker.as_of_now(self.share_of_now(held_out))
        lists: list[list[str]] = [[] for _ in self.views]
        asked = list(range(len(lists)))
        while asked:  # again while a list is short: of items that are nearly the same each list holds one
            queries = [
                RankQuery(
                    self.views[row],
                    n=k - len(lists[row]),
                    allowed=self.candidates,
                    excluded=frozenset(lists[row]),
                    explain=False,
                )
                for row in asked
            ]
            found = [[entry.item_id for entry in ranked.items] for ranked in ranker.rank(queries)]
            for row, more in zip(asked, found, strict=True):
                lists[row] += more
            asked = [row for row, more in zip(asked, found, strict=True) if more and len(lists[row]) < k]
        return {str(view.user_id): ranked for view, ranked in zip(self.views, lists, strict=True)}


def files_split(
    train: Path, visible: Path, users: Path, candidates: Path, items: Path | None, weights: EventWeights
) -> Task:
    """Read the files of a judge. Users without a visible event get an empty session.

    Raises:
        InputError: with file and line of what is wrong.
    """
    wanted = _ids(users)
    ranked = _ids(candidates)
    if not ranked:
        raise InputError("holds no id", str(candidates))
    catalogue = read_catalogue(items) if items else {}
    columns = read_columns(train)
    if not columns.users:
        raise InputError("holds no events", str(train))
    weights = rated_as(weights, columns)
    known = read_columns(visible, may_be_empty=True).interactions(weights)
    number = {user: place for place, user in enumerate(known.user_ids)}
    views = [known.view(number[user]) if user in number else SessionView(user) for user in wanted]
    data = columns.interactions(weights, (*ranked, *catalogue))
    return Task(data, views, frozenset(ranked), catalogue, weights)


def write_run(path: Path, lists: Mapping[str, list[str]]) -> None:
    """user, item, rank from 1, tab-separated, without a header; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as out:
        for user, ranked in lists.items():
            for rank, item in enumerate(ranked, start=1):
                out.write(f"{user}\t{item}\t{rank}\n")
    part.replace(path)


def _ids(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", str(path)) from None
    ids = list(dict.fromkeys(line.rstrip("\r") for line in lines if line.strip()))
    for line, found in enumerate(lines, start=1):
        if len(found) > MAX_ID_CHARS or "\t" in found:
            raise InputError("is no id: one a line, of 1 to 256 characters and without a tab", f"{path}, line {line}")
    return ids
