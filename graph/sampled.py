"""Training where the graph is too large to be propagated whole in every step: neighbour-sampled mini-batches.

As in GraphSAGE (Hamilton et al., 2017): a step needs the vectors of the items that its users met and of those that
compete, and each of these is estimated from a few of its neighbours, drawn by DGL, weighted so that the expectation is
that of the whole propagation. The result is propagated whole, once, so that what serves is exact.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding

from graph.batches import candidates_of, rows_of
from graph.build import MET, MET_BY
from graph.config import EncoderConfig
from graph.crew import Crew
from graph.dataset import Pairs
from graph.encoder import POWER, GraphEncoder

AVERAGE_EVERY = 10
"""Steps between two updates of the running mean of all parameters."""
REPORT_EVERY = 20


class Neighbours:
    """Draws neighbours and carries vectors from them, item <- user <- item, once per layer."""

    def __init__(self, g: Any, fanouts: tuple[int, int], layers: int) -> None:
        self._by_users, self._by_items = g[MET], g[MET_BY]
        self._fanouts, self._layers = fanouts, layers
        for relation in (self._by_users, self._by_items):
            relation.create_formats_()

    def propagated(self, model: GraphEncoder, items: Tensor) -> tuple[Tensor, Tensor]:
        """Source and target vectors (n, d) of these items, estimated."""
        dim = model.source.shape[1]
        chains = [self._chain(items, hop) for hop in range(1, self._layers + 1)]
        ends = [blocks[-1][1] for blocks in chains]
        # Each row of the parameters is read once, and only the gradients of these rows are made.
        rows, place = torch.unique(torch.cat([items, *ends]), return_inverse=True)
        near = torch.cat([embedding(rows, side, sparse=True) for side in (model.source, model.target)], dim=1)
        places = place.split([len(items), *map(len, ends)])
        found = embedding(places[0], near) * torch.cat([model.hops[0, :1].expand(dim), model.hops[0, 1:].expand(dim)])
        for hop, (blocks, end) in enumerate(zip(chains, places[1:], strict=True), start=1):
            both = embedding(end, near)
            for matrix, _ in reversed(blocks):
                both = torch.sparse.mm(matrix, both)
            found = found + both * torch.cat([model.hops[hop, :1].expand(dim), model.hops[hop, 1:].expand(dim)])
        return found[:, :dim], found[:, dim:]

    def _chain(self, items: Tensor, hops: int) -> list[tuple[Tensor, Tensor]]:
        """The blocks from these items outwards, two for each hop."""
        blocks = []
        frontier = items
        for _ in range(hops):
            for relation, kind, fanout in (
                (self._by_users, "item", self._fanouts[0]),
                (self._by_items, "user", self._fanouts[1]),
            ):
                blocks.append(self._block(relation, kind, frontier, fanout))
                frontier = blocks[-1][1]
        return blocks

    @staticmethod
    def _block(relation: Any, kind: str, seeds: Tensor, fanout: int) -> tuple[Tensor, Tensor]:
        """Weights (n, m) from m drawn neighbours to the n seeds, and who these neighbours are."""
        import dgl

        drawn = dgl.sampling.sample_neighbors(relation, {kind: seeds.int()}, fanout)
        left, right, edge = drawn.edges(form="all")
        edge = drawn.edata[dgl.EID][edge.long()].long()
        place = torch.empty(relation.num_nodes(kind), dtype=torch.int64)
        place[seeds] = torch.arange(len(seeds))
        row = place[right.long()]
        neighbours, column = torch.unique(left.long(), return_inverse=True)
        degrees = relation.in_degrees(seeds.int()).float()
        count = torch.bincount(row, minlength=len(seeds)).clamp(min=1).float()
        weight = relation.edata["norm"][edge] * (degrees / count)[row]
        shape = (len(seeds), len(neighbours))
        # The matrix is used once; checking its indices would cost as much as the product.
        matrix = torch.sparse_coo_tensor(torch.stack([row, column]), weight, shape, check_invariants=False)
        return matrix.coalesce(), neighbours


def train_sampled(
    model: GraphEncoder,
    g: Any,
    pairs: Pairs,
    config: EncoderConfig,
    generator: torch.Generator,
    steps: int,
    between: Callable[[int, GraphEncoder, float], bool],
) -> GraphEncoder:
    """Run `steps` steps of `batch_users` users each, and give the running mean of the parameters.

    Where this process is one of a crew (`graph.crew`), each member takes its share of the users.

    Args:
        between: called every `REPORT_EVERY` and `validate_steps` steps with the step, the mean and the loss; False ends
            the training.
    """
    import dgl

    crew = Crew.current()
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    dgl.seed(seed + crew.rank)
    # All members go through the people in one order, and each draws for itself.
    own = generator if crew.size == 1 else torch.Generator().manual_seed(seed + crew.rank)
    neighbours = Neighbours(g.int(), config.fanouts, config.layers)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    active = np.flatnonzero(np.diff(pairs.positive.indptr) >= 2)
    mean = copy.deepcopy(model)
    dense = [_DenseGradient(model.source), _DenseGradient(model.target)]
    order = np.empty(0, dtype=np.int64)
    total = count = 0.0
    for step in range(1, steps + 1):
        if len(order) < config.batch_users:
            order = np.concatenate([order, active[torch.randperm(len(active), generator=generator).numpy()]])
        users, order = np.sort(order[: config.batch_users]), order[config.batch_users :]
        loss = _step(model, neighbours, pairs, crew.share(users), config, own)
        optimiser.zero_grad()
        loss.backward()
        for gradient in dense:
            gradient.fill(crew)
        crew.average(model.bias.grad, model.hops.grad)
        optimiser.step()
        total, count = total + float(loss.detach()), count + 1
        if step % AVERAGE_EVERY == 0 or step == steps:
            decay = min(config.averaging, step / (step + 10.0 * AVERAGE_EVERY))
            with torch.no_grad():
                for kept, new in zip(mean.parameters(), model.parameters(), strict=True):
                    kept.lerp_(new, 1.0 - decay)
        if step % REPORT_EVERY == 0 or step % config.validate_steps == 0 or step == steps:
            if not crew.agreed(partial(between, step, mean, total / count)):
                break
            total = count = 0.0
    return mean


class _DenseGradient:
    """A parameter's gradient in one place that is used again: a new one for each step would be slower than the step."""

    def __init__(self, parameter: Tensor) -> None:
        self._parameter = parameter
        self._whole = torch.zeros_like(parameter)
        self._rows = torch.empty(0, dtype=torch.int64)

    def fill(self, crew: Crew) -> None:
        """Put the rows that the last step made, each once, in place of those of the step before."""
        made = self._parameter.grad
        assert made is not None
        self._whole.index_fill_(0, self._rows, 0.0)
        self._rows, values = crew.rows(made._indices()[0], made._values())
        self._whole.index_copy_(0, self._rows, values)
        self._parameter.grad = self._whole


def _step(
    model: GraphEncoder,
    neighbours: Neighbours,
    pairs: Pairs,
    users: np.ndarray,
    config: EncoderConfig,
    generator: torch.Generator,
) -> Tensor:
    """The loss of a share of a batch of users, as in `graph.train`, without what grows with the graph.

    `weight_decay` holds an item back once for each time that it is met, not once in each pass. Rows that are hardly
    ever more than one of the others that compete have little else that pulls them, and Adam makes full steps of it: of
    a million people all vectors shrank to nothing.
    """
    rows = rows_of(pairs, users)
    user = torch.from_numpy(np.repeat(np.arange(len(users)), np.diff(pairs.offsets)[users]))
    item = torch.from_numpy(pairs.item[rows].astype(np.int64))
    strength = torch.from_numpy(pairs.strength[rows])
    share = config.keep_low + (config.keep_high - config.keep_low) * torch.rand(len(users), generator=generator)
    hidden = torch.rand(len(rows), generator=generator) >= share[user]
    wanted = hidden & (strength > 0)
    candidates, correction = candidates_of(item[wanted], pairs, config, generator)
    needed, place = torch.unique(torch.cat([item[~hidden], candidates]), return_inverse=True)
    source, target = neighbours.propagated(model, needed)

    weight = strength[~hidden]
    met = torch.zeros(len(users), source.shape[1]).index_add(
        0, user[~hidden], source[place[: len(weight)]] * weight[:, None]
    )
    size = torch.zeros(len(users)).index_add(0, user[~hidden], weight.abs()).clamp(min=1e-6)
    vectors = met / size[:, None] ** POWER
    alive = torch.rand(vectors.shape, generator=generator) >= config.dropout
    vectors = vectors * alive / (1.0 - config.dropout)

    logits = vectors @ target[place[len(weight) :]].T + (model.bias[candidates] - correction)
    column = torch.searchsorted(candidates, item).clamp(max=len(candidates) - 1)
    shown = ~hidden & (candidates[column] == item)
    logits = logits.index_put((user[shown], column[shown]), torch.tensor(-1e9))
    picked = torch.log_softmax(logits, dim=1)[user[wanted], column[wanted]]
    count = torch.bincount(user[wanted], minlength=len(users)).clamp(min=1).float()
    loss = -(picked / count[user[wanted]].sqrt()).sum() / len(users)
    shown_at, wanted_at = place[: len(weight)], place[len(weight) + column[wanted]]
    penalty = config.weight_decay * (source[shown_at].square().sum() + target[wanted_at].square().sum())
    return loss + penalty / len(users)
