"""Several processes train one encoder: two real ones, over gloo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing

from graph.config import EncoderConfig, GraphConfig
from graph.crew import Crew
from graph.dataset import Interactions
from graph.kernels import Kernel
from graph.metrics import ndcg, top
from graph.splits import random_split
from graph.train import train_encoder


def in_two(function: Any, folder: Path, *arguments: Any) -> list[Any]:
    """What `function(*arguments)` gives in each of two processes that form a crew."""
    multiprocessing.spawn(_member, (function, folder, arguments), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def _member(rank: int, function: Any, folder: Path, arguments: tuple[Any, ...]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(function(*arguments), folder / f"{rank}.pt")
    dist.destroy_process_group()


def exchange() -> Any:
    crew = Crew.current()
    gradient = torch.tensor([1.0, 2.0]) * (crew.rank + 1)
    crew.average(gradient, None)
    rows = torch.tensor([4, 7]) if crew.rank else torch.tensor([2, 4, 9])
    found = crew.rows(rows, torch.ones(len(rows), 3) * (crew.rank + 1))
    share = crew.share(np.arange(5)), crew.share(np.arange(1))
    return gradient, found, share, crew.agreed(lambda: crew.rank == 0)


def test_members_exchange_what_a_step_needs(tmp_path: Path) -> None:
    for rank, (gradient, (rows, values), (share, small), agreed) in enumerate(in_two(exchange, tmp_path)):
        assert gradient.tolist() == [1.5, 3.0]
        assert rows.tolist() == [2, 4, 7, 9] and values[:, 0].tolist() == [0.5, 1.5, 1.0, 0.5]
        assert share.tolist() == ([1, 3] if rank else [0, 2, 4]) and small.tolist() == [0]
        assert agreed, "member 0 decides"


def trained(pairs: Any, config: EncoderConfig) -> Any:
    return train_encoder(pairs, config, 1, epochs=120, sampled=True)


@pytest.mark.filterwarnings("ignore")
def test_two_learn_as_well_as_one(data: Interactions, config: GraphConfig, tmp_path: Path) -> None:
    split = random_split(data, 0.25)
    encoder = config.encoder.model_copy(update={"batch_users": 64})

    def figure(found: Any) -> float:
        kernel: Kernel = found.kernel
        return ndcg(top(kernel.scores(split.sessions()) + found.bias, 10, split.seen()), split.truth)

    first, second = in_two(trained, tmp_path, split.train.pairs, encoder)
    assert np.allclose(first.state.source, second.state.source, atol=1e-5), "members part"
    alone = trained(split.train.pairs, encoder)
    assert not np.allclose(first.state.source, alone.state.source, atol=1e-3)
    assert figure(first) > 0.93 * figure(alone)
