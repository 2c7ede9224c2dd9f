"""`python -m benchmarks.training`: the graph model's training beside RecBole's LightGCN. Prints one JSON line.

    --recbole PYTHON     an interpreter that has RecBole 1.2.1 (default: .venv-recbole/bin/python); made by
                         python3.11 -m venv .venv-recbole
                         .venv-recbole/bin/pip install torch==2.13.0 numpy==1.26.4 scipy==1.10.1 \\
                             pandas==2.2.3 scikit-learn==1.5.2 colorlog==4.7.2 colorama==0.4.4 tensorboard \\
                             tabulate plotly texttable tqdm pyyaml psutil 'setuptools<80'
                         .venv-recbole/bin/pip install --no-deps recbole==1.2.1 thop
    --epochs 100         most epochs of the peer
    --threads 2          CPU threads of the peer (ours uses the setting `graph.encoder.threads`, 1)
    --seed 0             of the split

Both see the same MovieLens-100K events: of each person's a random quarter is the test part, and a tenth of the rest
decides when training stops. Both have the same graph, 64 dimensions and 3 layers; the peer steps over 2,048 events, we
over people, all of them at once when they fit (`batch_users`): so each is also timed with the other's number of events
to a step. Lists of both are compared by the same nDCG@10 over all items not met in training. RecBole needs older numpy
and scipy than Tailorbird, hence its own interpreter; it runs as a subprocess, before and not beside ours.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cluster.errors import ConfigError
from graph.config import EncoderConfig, GraphConfig
from graph.dataset import Interactions
from graph.kernels import Kernel
from graph.metrics import ndcg, paired_ratio, per_query, top
from graph.splits import Split, random_split
from graph.train import Trained, train_encoder
from graph.weights import EventWeights
from jobs.movielens import dataset_folder, read_events

DEFAULT_PYTHON = Path(".venv-recbole/bin/python")
DIM, LAYERS, BATCH = 64, 3, 2048
VALIDATION_SHARE = 0.1


def movielens() -> Interactions:
    """The demo's ratings."""
    events = read_events(dataset_folder())
    return Interactions.from_columns(
        [event.user_id for event in events],
        [event.item_id for event in events],
        EventWeights(),
        [event.type for event in events],
        [event.value for event in events],
        [event.timestamp_ms for event in events],
    )


def write_peer_files(folder: Path, train: Interactions, valid: sp.csr_matrix, test: sp.csr_matrix) -> None:
    """The three parts as RecBole's atomic files."""
    (folder / "data").mkdir()
    pairs = train.pairs
    parts = {"train": zip(pairs.user, pairs.item, strict=True)}
    parts |= {name: zip(*matrix.nonzero(), strict=True) for name, matrix in (("valid", valid), ("test", test))}
    for name, rows in parts.items():
        lines = [f"{train.user_ids[user]}\t{train.item_ids[item]}" for user, item in rows]
        text = "\n".join(["user_id:token\titem_id:token", *lines])
        (folder / "data" / f"data.{name}.inter").write_text(text + "\n")


def run_peer(python: Path, folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Train the peer in its own interpreter. Raises ConfigError when it cannot."""
    if not python.exists():
        raise ConfigError(f"there is no {str(python)!r}: see `python -m benchmarks.training --help` for how to make it")
    script = Path(__file__).with_name("_recbole.py")
    done = subprocess.run(
        [str(python), str(script), str(folder), json.dumps(asked)], capture_output=True, text=True, cwd=folder
    )
    if done.returncode != 0:
        raise ConfigError(f"RecBole failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def train_ours(split: Split, config: EncoderConfig, seed: int) -> tuple[Trained, dict[str, Any]]:
    """Train as a refresh does, stopped by the validation part; seconds per epoch without validation."""
    sessions, seen = split.sessions(), split.seen()
    marks: list[float] = []
    validating = 0.0

    def validate(kernel: Kernel, bias: np.ndarray) -> float:
        nonlocal validating
        began = time.perf_counter()
        figure = ndcg(top(kernel.scores(sessions) + bias[None, :], 10, seen), split.truth)
        validating += time.perf_counter() - began
        marks.append(figure)
        return figure

    began = time.perf_counter()
    trained = train_encoder(split.train.pairs, config, seed, validate)
    took = time.perf_counter() - began - validating
    epochs = len(marks) * config.validate_every
    return trained, {
        "epoch_s": took / epochs,
        "epochs": epochs,
        "best_epoch": trained.epochs,
        "best_after_s": took / epochs * trained.epochs,
        "validation": trained.validation,
        "steps_per_epoch": -(-len(split.train.user_ids) // config.batch_users),
    }


def epoch_s(split: Split, config: EncoderConfig, epochs: int = 5) -> float:
    """Median seconds of an epoch, after one that is not counted."""
    marks: list[float] = []
    once = config.model_copy(update={"validate_every": 1, "epochs": epochs + 1, "patience": epochs + 1})

    def note(_: Kernel, __: np.ndarray) -> float:
        marks.append(time.perf_counter())
        return 0.0

    train_encoder(split.train.pairs, once, 0, note)
    return float(np.median(np.diff(marks)))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recbole", type=Path, default=DEFAULT_PYTHON, metavar="PYTHON")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.005, help="of the peer")
    parser.add_argument("--penalty", type=float, default=1e-5, help="the peer's reg_weight")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    data = movielens()
    test = random_split(data, seed=arguments.seed)
    tune = random_split(test.train, VALIDATION_SHARE, seed=arguments.seed + 1)
    known = Split(tune.train, tune.train, test.users, test.truth)
    with tempfile.TemporaryDirectory(prefix="tb-training") as folder:
        write_peer_files(Path(folder), tune.train, _of_everybody(tune), _of_everybody(test))
        asked = {
            "dim": DIM, "layers": LAYERS, "batch": BATCH, "epochs": arguments.epochs, "threads": arguments.threads,
            "learning_rate": arguments.learning_rate, "penalty": arguments.penalty, "seed": 2020,
            "validate_every": 5, "patience": 30,
        }  # fmt: skip
        peer = run_peer(arguments.recbole.absolute(), Path(folder), asked)
        named = json.loads((Path(folder) / "lists.json").read_text())
    number = {item_id: place for place, item_id in enumerate(data.item_ids)}
    theirs = np.array([[number[i] for i in named[data.user_ids[u]]] for u in known.users])
    config = GraphConfig()
    same = config.encoder.model_copy(update={"dim": DIM, "layers": LAYERS})
    # The peer's step is over 2,048 events; so many people have about as many.
    few = same.model_copy(update={"batch_users": max(1, round(BATCH * len(data.user_ids) / len(tune.train)))})
    result: dict[str, Any] = {
        "benchmark": "training",
        "peer": peer,
        "events": len(tune.train),
        "threads": {"peer": arguments.threads, "ours": config.encoder.threads},
        "python": platform.python_version(),
    }
    values = {"peer": per_query(theirs, known.truth)["ndcg"]}
    peer["ndcg@10"] = round(float(values["peer"].mean()), 5)
    for name, settings in (("same_layers", same), ("default", config.encoder)):
        trained, figures = train_ours(tune, settings, config.seed)
        lists = top(trained.kernel.scores(known.sessions()) + trained.bias[None, :], 10, known.seen())
        values[name] = per_query(lists, known.truth)["ndcg"]
        result[name] = figures | {"layers": settings.layers, "ndcg@10": round(float(values[name].mean()), 5)}
    small = epoch_s(tune, few)
    result["same_events_per_step"] = {"epoch_s": small, "batch_users": few.batch_users}
    for name in ("same_layers", "default"):
        ratio, low, high = paired_ratio(values[name], values["peer"])
        result[name] |= {
            "epochs_faster": round(peer["epoch_s"] / result[name]["epoch_s"], 2),
            "training_faster": round(peer["best_after_s"] / result[name]["best_after_s"], 2),
            "ndcg_ratio": round(ratio, 4), "ndcg_ratio_95": [round(low, 4), round(high, 4)],
        }  # fmt: skip
    result["same_events_per_step"]["epochs_faster"] = round(peer["epoch_s"] / small, 2)
    print(json.dumps(result))


def _of_everybody(split: Split) -> sp.csr_matrix:
    """The truth of a split as (U, N)."""
    rows, columns = split.truth.nonzero()
    ones = np.ones(len(rows), dtype=np.float32)
    return sp.csr_matrix((ones, (split.users[rows], columns)), shape=split.train.shape)


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(str(error))
