"""Training of the graph encoder: predict the events that were hidden from a person by those that were not.

The loss is a softmax over items (all of them, or the batch's and sampled ones with their sampling probability corrected
for), which on implicit data does better than BPR's pairs: see `jobs.evaluate`. The items that made the user vector are
no candidates.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graph.batches import candidates_of, rows_of
from graph.build import MET_BY, build_graph
from graph.config import EncoderConfig
from graph.dataset import Pairs
from graph.encoder import POWER, GraphEncoder, user_vectors
from graph.kernels import FULL, Kernel
from graph.warm import EncoderState

Report = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and a few words."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives: the graph's kernel, item biases (N,), epochs run, the best validation figure, parameters."""

    kernel: Kernel
    bias: np.ndarray
    epochs: int
    validation: float
    state: EncoderState


def train_encoder(
    pairs: Pairs,
    config: EncoderConfig,
    seed: int,
    validate: Callable[[Kernel, np.ndarray], float] | None = None,
    epochs: int | None = None,
    report: Report | None = None,
    start: EncoderState | None = None,
    sampled: bool | None = None,
) -> Trained:
    """Train on the pairs; where that is much work (`is_sampled`) by sampled neighbours (`graph.sampled`).

    Args:
        sampled: says which of the two, where it was decided on other pairs.
        validate: figure of merit of a kernel and biases on held-out events. With it training stops when the figure no
            longer rises, and the best state is returned.
        epochs: how many to run without validation, or at most.
        start: parameters to begin with, in the order of the items; a share `continued` of the epochs is run then.
    """
    torch.set_num_threads(config.threads)
    # How loud a sign of taste counts is for the gates; the vectors learn from what goes with what.
    pairs = replace(pairs, strength=np.clip(pairs.strength, -FULL, FULL))
    generator = torch.Generator().manual_seed(seed)
    g = build_graph(pairs)
    positive = pairs.positive
    popularity = torch.from_numpy(np.asarray(positive.sum(axis=0), dtype=np.float32).ravel())
    prior = torch.log((popularity + 1.0) / (popularity.sum() + len(popularity)))
    model = GraphEncoder(pairs.shape[1], config.dim, config.layers, prior, generator)
    if start is not None:
        _load(model, start)
    if is_sampled(pairs, config) if sampled is None else sampled:
        return _train_sampled(model, g, pairs, config, generator, validate, epochs, report, start is not None)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    active = np.flatnonzero(np.diff(positive.indptr) >= 2)
    mean = copy.deepcopy(model)
    best = _trained(model, g, 0, -1.0)
    waited = 0
    total = epochs or max(1, round(config.epochs * (config.continued if start is not None else 1.0)))
    for epoch in range(1, total + 1):
        loss = _epoch(model, optimiser, g, pairs, active, config, generator)
        _average(mean, model, min(config.averaging, epoch / (epoch + 10.0)))
        if report and epoch % 5 == 0:
            report(epoch / total, f"epoch {epoch}, loss {loss:.3f}")
        if validate is None or epoch % config.validate_every:
            continue
        found = _trained(mean, g, epoch, validate)
        if found.validation > best.validation:
            best, waited = found, 0
        else:
            waited += 1
            if waited >= config.patience:
                break
    if validate is None:
        return _trained(mean, g, total, float("nan"))
    return best


def is_sampled(pairs: Pairs, config: EncoderConfig) -> bool:
    """Whether a graph is too large to be propagated whole in every step: see `sampled_above`."""
    batches = -(-pairs.shape[0] // config.batch_users)
    return batches * (len(pairs.user) + pairs.shape[1]) > config.sampled_above


def _train_sampled(
    model: GraphEncoder,
    g: Any,
    pairs: Pairs,
    config: EncoderConfig,
    generator: torch.Generator,
    validate: Callable[[Kernel, np.ndarray], float] | None,
    epochs: int | None,
    report: Report | None,
    continued: bool,
) -> Trained:
    from graph.sampled import train_sampled

    steps = epochs or max(1, round(config.sampled_steps * (config.continued if continued else 1.0)))
    best: Trained | None = None

    def between(step: int, mean: GraphEncoder, loss: float) -> bool:
        nonlocal best
        if report:
            report(step / steps, f"step {step}, loss {loss:.3f}")
        if validate is None or (step % config.validate_steps and step != steps):
            return True
        found = _trained(mean, g, step, validate)
        better = best is None or found.validation > best.validation
        best = found if better else best
        return better

    mean = train_sampled(model, g, pairs, config, generator, steps, between)
    return best if best is not None else _trained(mean, g, steps, float("nan"))


def _load(model: GraphEncoder, state: EncoderState) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(getattr(state, name), dtype=np.float32)))


def _trained(
    model: GraphEncoder, g: Any, epochs: int, validation: float | Callable[[Kernel, np.ndarray], float]
) -> Trained:
    state = EncoderState(**{name: value.detach().numpy().copy() for name, value in model.named_parameters()})
    kernel = _kernel(model, g)
    return Trained(
        kernel, state.bias, epochs, validation(kernel, state.bias) if callable(validation) else validation, state
    )


def _average(mean: GraphEncoder, model: GraphEncoder, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(mean.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, 1.0 - decay)


def _epoch(
    model: GraphEncoder,
    optimiser: torch.optim.Optimizer,
    g: Any,
    pairs: Pairs,
    active: np.ndarray,
    config: EncoderConfig,
    generator: torch.Generator,
) -> float:
    total = 0.0
    order = active[torch.randperm(len(active), generator=generator).numpy()]
    for start in range(0, len(order), config.batch_users):
        users = np.sort(order[start : start + config.batch_users])
        loss = _step(model, g, pairs, users, config, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += float(loss.detach()) * len(users)
    return total / max(len(order), 1)


def _step(
    model: GraphEncoder, g: Any, pairs: Pairs, users: np.ndarray, config: EncoderConfig, generator: torch.Generator
) -> Tensor:
    """The loss of a batch of users: a random share of each one's events makes the vector, the rest is predicted."""
    source, target = model(g)
    share = config.keep_low + (config.keep_high - config.keep_low) * torch.rand(pairs.shape[0], generator=generator)
    draw = torch.rand(len(pairs.user), generator=generator)
    kept = (draw < share[torch.from_numpy(pairs.user.astype(np.int64))]).float()
    rows = torch.from_numpy(rows_of(pairs, users))
    batch = g if len(users) == pairs.shape[0] else g.edge_subgraph({MET_BY: rows}, relabel_nodes=False)
    kept_rows = kept if batch is g else kept[rows]
    vectors = user_vectors(batch, source, kept_rows)[torch.from_numpy(users)]
    alive = torch.rand(vectors.shape, generator=generator) >= config.dropout
    vectors = vectors * alive / (1.0 - config.dropout)

    place = torch.full((pairs.shape[0],), -1, dtype=torch.int64)
    place[torch.from_numpy(users)] = torch.arange(len(users))
    user, item = (
        place[torch.from_numpy(pairs.user.astype(np.int64))[rows]],
        torch.from_numpy(pairs.item.astype(np.int64))[rows],
    )
    strength, hidden = torch.from_numpy(pairs.strength)[rows], kept[rows] == 0
    wanted = hidden & (strength > 0)
    candidates, correction = candidates_of(item[wanted], pairs, config, generator)
    column = torch.full((pairs.shape[1],), -1, dtype=torch.int64)
    column[candidates] = torch.arange(len(candidates))

    logits = vectors @ target[candidates].T + (model.bias[candidates] - correction)
    shown = ~hidden & (column[item] >= 0)
    logits = logits.index_put((user[shown], column[item[shown]]), torch.tensor(-1e9))
    picked = torch.log_softmax(logits, dim=1)[user[wanted], column[item[wanted]]]
    count = torch.bincount(user[wanted], minlength=len(users)).clamp(min=1).float()
    # The root lets people with long histories count more than those with short ones, but not in proportion.
    loss = -(picked / count[user[wanted]].sqrt()).sum() / len(users)
    penalty = config.weight_decay * (source.square().sum() + target.square().sum())
    return loss + penalty * (len(users) / pairs.shape[0])


def _kernel(model: GraphEncoder, g: Any) -> Kernel:
    with torch.no_grad():
        source, target = model(g)
    return Kernel("graph", source=source.numpy().copy(), target=target.numpy().copy(), power=POWER)
