"""From answers to tables: pooled figures, paired comparisons, and what people read on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.evaluation import Measured, compared, pooled
from jobs.evaluation_run import OURS

Answers = dict[int, dict[str, dict[str, Measured]]]
"""Figures by seed, view and model."""
COLUMNS = ("ndcg", "recall", "precision", "map", "coverage", "diversity", "novelty", "calibration")


@dataclass
class View:
    """One column of the big table: everybody's figures for one view of a protocol.

    `pooled` are over all seeds that a model was asked with, `seeds`; a comparison is on the seeds that both have.
    """

    name: str
    pooled: dict[str, Measured] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    ratios: dict[str, dict[str, Any]] = field(default_factory=dict)

    def figures(self, k: int) -> dict[str, dict[str, float]]:
        """Figures by model."""
        return {name: found.summary(k) | {"seeds": self.seeds[name]} for name, found in self.pooled.items()}

    def best(self, peers: Mapping[str, Any], k: int) -> str | None:
        """The peer with the best nDCG, of those asked with most seeds; None without peers."""
        asked = [name for name in self.pooled if name in peers]
        most = max((self.seeds[name] for name in asked), default=0)
        among = [name for name in asked if self.seeds[name] == most]
        return max(among, key=lambda name: float(self.pooled[name].values["ndcg"].mean()), default=None)


def assemble(answers: Answers) -> list[View]:
    """Views in the order in which they were asked."""
    views: dict[str, View] = {}
    models: dict[str, dict[str, dict[int, Measured]]] = {}
    for seed, by_view in answers.items():
        for name, by_model in by_view.items():
            views.setdefault(name, View(name))
            for model, found in by_model.items():
                models.setdefault(name, {}).setdefault(model, {})[seed] = found
    for name, by_model_seed in models.items():
        view = views[name]
        ours = by_model_seed.get(OURS, {})
        for model, by_seed in by_model_seed.items():
            view.pooled[model] = pooled(list(by_seed.values()))
            view.seeds[model] = len(by_seed)
            common = sorted(set(ours) & set(by_seed))
            if model != OURS and common:
                both = [pooled([each[seed] for seed in common]) for each in (ours, by_seed)]
                if both[1].values["ndcg"].any():  # there is no ratio to nothing
                    view.ratios[model] = compared(*both) | {"seeds": len(common)}
    return list(views.values())


def show(views: list[View], peers: Mapping[str, Any], skipped: Mapping[str, str], k: int) -> None:
    """The tables, for people, on standard error."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True, width=None if sys.stderr.isatty() else 170)
    for view in views:
        best = view.best(peers, k)
        table = Table(title=f"{view.name} (at {k})", title_justify="left")
        table.add_column("model", no_wrap=True)
        for column in ("seeds", "nDCG", "95% of it", *COLUMNS[1:], "ours / it", "95% of the ratio"):
            table.add_column(column, justify="right")
        for model, figures in view.figures(k).items():
            ratio = view.ratios.get(model)
            style = "bold" if model == OURS else "cyan" if model == best else None
            table.add_row(
                model, str(view.seeds[model]), f"{figures[f'ndcg@{k}']:.4f}",
                f"{figures['ndcg_low']:.3f}-{figures['ndcg_high']:.3f}",
                *(f"{figures[f'{name}@{k}']:.3f}" for name in COLUMNS[1:]),
                f"{ratio['ratio']:.3f}" if ratio else "",
                f"{ratio['low']:.3f}-{ratio['high']:.3f}" if ratio else "",
                style=style,
            )  # fmt: skip
        for name, reason in skipped.items():
            table.add_row(name, "skipped", reason, style="dim")
        console.print(table)
