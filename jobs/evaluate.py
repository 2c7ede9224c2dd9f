"""`python -m jobs.evaluate`: how good the lists are, beside peers, on the store's data, the demo's or files.

What is evaluated is what is served: the model is trained by `graph.fit` with the settings' configuration, under the
same `config_hash`, and asked through `graph.ranking.Ranker`, with the session that a server would hold. But for one
thing: where held-out events lie between the visible ones (`random`, `open-item`) sessions have no times, while those of
a server do; and an outside judge's lists, unless `--held-out` says, are ranked by the mean of both.

With `--train`, `--visible`, `--users`, `--candidates` and `--run` it is a tool for outside judges: train on a file,
rank the candidates for the listed users, write the lists.
"""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.config import Settings
from cluster.errors import InputError, UnavailableError
from graph.config import GraphConfig
from graph.evaluation import views_of
from graph.fit import Content
from graph.weights import EventWeights
from jobs.common import PERCENT, ConfigOption, progress, run, say, settings_of, stage
from jobs.embedding import text_vectors
from jobs.evaluation_data import dataset_of
from jobs.evaluation_judged import HELD_OUT, files_split, write_run
from jobs.evaluation_page import write_page
from jobs.evaluation_report import Answers, View, assemble, show
from jobs.evaluation_run import CURVE, OURS, Evaluation, at_diversity
from jobs.model import graph_config_of, weights_of
from jobs.peers.registry import PEERS, QUICK, peers_named


def main(
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="`random`, `temporal`, `cold-session` (or one, `cold-session-5`), `cold-item`, `open-item`, `all`."
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(help="`store`, `demo` (MovieLens-100K of the demo's wheel), or `auto`: the store unless empty."),
    ] = "auto",
    events: Annotated[Path | None, typer.Option(help="Evaluate on this table of events instead.")] = None,
    seeds: Annotated[int, typer.Option(help="Splits with as many seeds, pooled.", min=1, max=100)] = 1,
    first_seed: Annotated[int, typer.Option(help="The first of these seeds.", min=0)] = 0,
    peers: Annotated[
        str, typer.Option(help=f"`quick`, `all`, `none`, or some of {', '.join(PEERS)} with commas between.")
    ] = "quick",
    ablation: Annotated[
        bool,
        typer.Option("--ablation", help="Beside the graph model alone, each source alone, and all without the graph."),
    ] = False,
    curve: Annotated[
        bool, typer.Option("--curve", help=f"Measure `diversity` at {', '.join(map(str, CURVE))} as well.")
    ] = False,
    k: Annotated[int, typer.Option(help="Length of the lists.", min=1, max=500)] = 10,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for answers and the page; a run goes on from what is there. Default: in the state's."
        ),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="After so many nothing new is begun.", min=0.0)] = None,
    tune_s: Annotated[float, typer.Option(help="Seconds to tune each peer on its validation part.", min=0.0)] = 120.0,
    train: Annotated[Path | None, typer.Option(help="Training events: user, item, rating, ts; tab-separated.")] = None,
    visible: Annotated[Path | None, typer.Option(help="What the listed users are known by; the same columns.")] = None,
    users: Annotated[Path | None, typer.Option(help="Users to make lists for, one id a line.")] = None,
    candidates: Annotated[Path | None, typer.Option(help="Items to rank, one id a line.")] = None,
    items: Annotated[Path | None, typer.Option(help="Items: item, title, year, categories, description, ...")] = None,
    run_file: Annotated[Path | None, typer.Option("--run", help="Where the lists go: user, item, rank.")] = None,
    held_out: Annotated[
        str,
        typer.Option(help="What the judge holds out: `random` events, the `last` ones, or `auto`: not known."),
    ] = "auto",
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Measure nDCG, recall, precision, MAP, coverage and more, beside published recommenders."""
    settings = settings_of(config)
    graph_config = graph_config_of(settings)
    weights = weights_of(settings, graph_config)
    judged = (train, visible, users, candidates, run_file)
    if any(judged):
        if not all(judged):
            raise InputError("--train, --visible, --users, --candidates and --run go together")
        assert train and visible and users and candidates and run_file
        return judge(train, visible, users, candidates, items, run_file, k, held_out, settings, graph_config, weights)
    protocols = views_of(protocol or ["random"])
    named = None if peers == "all" else list(QUICK) if peers == "quick" else [] if peers == "none" else peers.split(",")
    peers_named(named, False)
    with stage("reading"):
        source, interactions, catalogue = dataset_of(data, events, items, settings, graph_config, weights)
    with stage("text vectors"):
        content = Content.of(
            interactions.item_ids, catalogue, graph_config, text_vectors(catalogue, graph_config, settings)
        )
    say(f"{source}: {len(interactions)} events, {interactions.shape[0]} users, {interactions.shape[1]} items")
    folder = out or settings.state_dir / "evaluation"
    evaluation = Evaluation(
        interactions, catalogue, content, weights, graph_config, folder / "answers", k, ablation, curve, tune_s,
        time.monotonic() + 60 * minutes if minutes is not None else float("inf"),
    )  # fmt: skip
    answers: Answers = {}
    for seed in range(first_seed, first_seed + seeds):
        for family, views in protocols.items():
            asked = peers_named(named, family == "cold-item")
            label = f"{family} {seed}" if seeds > 1 else family
            with stage(label), progress(label, total=100, unit=PERCENT) as report:
                evaluation.run(family, views, seed, asked, lambda share, note: report(100 * share, 100, note))
    with stage("figures"):
        for seed in range(first_seed, first_seed + seeds):
            for family, views in protocols.items():
                names = [OURS, *PEERS, *(at_diversity(value) for value in CURVE)]
                answers.setdefault(seed, {}).update(evaluation.answers(family, views, seed, names))
        found = assemble(answers)
    show(found, PEERS, evaluation.skipped, k)
    for what in evaluation.unfinished:
        say(f"not done for want of time: {what}")
    return _result(source, seeds, found, evaluation, folder / "report.html")


def judge(
    train: Path,
    visible: Path,
    users: Path,
    candidates: Path,
    items: Path | None,
    run_file: Path,
    k: int,
    held_out: str,
    settings: Settings,
    config: GraphConfig,
    weights: EventWeights,
) -> dict[str, Any]:
    """Train on a file, rank the candidates for the listed users, write the lists."""
    if held_out not in HELD_OUT:
        raise InputError(f"--held-out is {held_out!r}; it may be auto, random or last")
    with stage("reading"):
        task = files_split(train, visible, users, candidates, items, weights)
    with stage("text vectors"):
        vectors = text_vectors(task.items, config, settings)
    with stage("training and ranking"), progress("training", total=100, unit=PERCENT) as report:
        lists = task.lists(config, vectors, k, held_out, lambda s, share, note: report(100 * share, 100, s))
    write_run(run_file, lists)
    return {"run": str(run_file), "users": len(lists), "config_hash": config.config_hash}


def _result(source: str, seeds: int, views: list[View], evaluation: Evaluation, page: Path) -> dict[str, Any]:
    k = evaluation.k
    result: dict[str, Any] = {
        "data": source, "k": k, "seeds": seeds, "config_hash": evaluation.config.config_hash,
        "protocols": {view.name: view.figures(k) for view in views},
        "ratios": {view.name: view.ratios for view in views},
        "best_peer": {view.name: view.best(PEERS, k) for view in views},
        "skipped": evaluation.skipped, "unfinished": evaluation.unfinished,
    }  # fmt: skip
    how = shlex.join(["python", "-m", "jobs.evaluate", *sys.argv[1:]])
    try:
        write_page(page, f"Tailorbird on {source}", views, PEERS, evaluation.skipped, k, how)
    except UnavailableError as error:
        say(f"no page was written: {error}")
        return result | {"page": None}
    say(f"page: {page}")
    return result | {"page": str(page)}


if __name__ == "__main__":
    run(main)
