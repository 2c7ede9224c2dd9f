"""What the sources are worth for items that nobody met: learnt on items that are taken for such.

What a source says of an item by its content is surer for one source than for another: a taste in common carries over, a
popularity hardly does. A part of the items is therefore expressed by the others and ranked among itself, for the people
who met them, of whom these events are hidden. The sources stay as they are: making them again without these items
would cost a training, and gave the same weights.

One source speaks of new items alone, `likeness` (`graph.likeness`). The weights are held near fixed proportions: the
sources have seen the events that are hidden here, the graph's encoder most of all, and weights learnt freely relied on
it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from graph.combine import contenders, lambda_loss
from graph.config import GraphConfig
from graph.content import fit_content_map
from graph.dataset import Interactions
from graph.fresh import strongest_anchors
from graph.kernels import Kernel
from graph.likeness import LIKENESS, likeness_kernel
from graph.model import Bias, Gate, context
from graph.splits import cold_item_split
from graph.weighing import Weighed, sampled

FOLDS = 2
"""As many times items are taken for new, others each time."""
SHARE = 0.2
"""Share of the items that are taken for new at once."""
MOST_ITEMS = 1000
MOST_SESSIONS = 1000
FEWEST = 20
"""With fewer new items, or people who met them, nothing is learnt."""
BEGIN = {"factors": 1.0, LIKENESS: 0.4, "item_item": 0.15, "next_1": 0.1, "text": 0.05}
"""Where the weights begin, relative to each source's spread over new items: what did well in fixed proportions."""
OTHER = 0.03
"""Where those of other sources begin."""
SHARE_OF_FACTORS = 0.3
"""The share of the factorisation, and the greatest of any. Only the proportions order new items among themselves; the
more they stand out as a whole, the more of them fill the lists of small data, where most of a catalogue is unmet."""
RIDGE = 0.05
"""How hard the weights are held where they begin."""
STEPS = 100
SESSIONS = 200
"""Sessions per step."""
DENSE_ITEMS = 20_000
"""Up to this many items all are scored, which is faster."""

Case = tuple[np.ndarray, np.ndarray]
"""Scores of the sources (S, Q, C) for items taken for new, and which of them are wanted (Q, C)."""


def learn_shares(
    sources: Weighed,
    data: Interactions,
    gates: Mapping[str, Gate],
    hashed: np.ndarray,
    text: np.ndarray | None,
    config: GraphConfig,
) -> dict[str, Gate]:
    """The gates with what each source counts for items that nobody met.

    Args:
        sources: made from `data`. hashed: (N, F), text: (N, T) or None, what is known of the items
            (`graph.fit.Content`).
    """
    kernels, biases = sources.kernels, sources.biases
    told = dict(gates)
    if "factors" in gates and len(hashed) <= DENSE_ITEMS:
        kernels = (*kernels, likeness_kernel(len(hashed)))
        told[LIKENESS] = gates["factors"]
    groups = tied(kernels) + [bias.name for bias in biases]
    names = list(dict.fromkeys(groups))
    member = np.array([[group == name for group in groups] for name in names], dtype=np.float32)
    cases: list[Case] = []
    for fold in range(FOLDS):
        case = _case(kernels, biases, sources.popularity, data, told, hashed, text, config, config.seed + fold)
        if case is not None:
            cases.append((np.einsum("gs,sqc->gqc", member, case[0]), case[1]))
    if not cases:
        return dict(gates)
    learnt = dict(zip(names, _learn(names, cases, config), strict=True))
    of = dict(zip([kernel.name for kernel in kernels] + [bias.name for bias in biases], groups, strict=True))
    found = {name: replace(gate, unmet=float(learnt[of[name]])) for name, gate in told.items() if name in of}
    if LIKENESS in found:
        found[LIKENESS] = replace(gates["factors"], level=gates["factors"].level + float(learnt[LIKENESS]))
    return found


def _case(
    kernels: tuple[Kernel, ...],
    biases: tuple[Bias, ...],
    popularity: np.ndarray,
    data: Interactions,
    gates: Mapping[str, Gate],
    hashed: np.ndarray,
    text: np.ndarray | None,
    config: GraphConfig,
    seed: int,
) -> Case | None:
    known = np.abs(hashed).sum(axis=1) > 0
    if text is not None:
        known |= np.abs(text).sum(axis=1) > 0
    known &= popularity > 0
    split = cold_item_split(data, min(SHARE, MOST_ITEMS / max(int(known.sum()), 1)), seed)
    assert split.candidates is not None
    taken = np.asarray(split.candidates)
    new = np.flatnonzero(taken & known)
    truth = split.truth[:, new].tocsr()
    asked = (np.diff(truth.indptr) > 0) & (np.diff(split.visible.offsets)[split.users] > 0)
    if len(new) < FEWEST or asked.sum() < FEWEST or len(new) == known.sum():
        return None
    split = replace(split, users=split.users[asked], truth=truth[asked])
    if len(split.users) > MOST_SESSIONS:
        split = sampled(split, MOST_SESSIONS, seed)
    sessions, settings = split.sessions(), config.content
    others = popularity * ~taken
    mapping = fit_content_map(hashed, text, others, settings.ridge, settings.max_anchor_items)
    weights = mapping.express(hashed[new], None if text is None else text[new])
    strongest = strongest_anchors(mapping.anchors, weights, len(known))[:, mapping.anchors]
    x = context(sessions)
    anchors = np.broadcast_to(mapping.anchors, (len(sessions), len(mapping.anchors)))
    values = np.empty((len(kernels) + len(biases), len(sessions), len(new)), dtype=np.float32)
    for place, kernel in enumerate(kernels):
        few = len(known) <= DENSE_ITEMS
        scores = kernel.scores(sessions)[:, mapping.anchors] if few else kernel.scores_at(sessions, anchors)
        carried = strongest if sp.issparse(kernel.matrix) else weights
        values[place] = np.asarray(carried @ scores.T).T * gates[kernel.name](x)[:, None]
    for place, bias in enumerate(biases, start=len(kernels)):
        values[place] = (weights @ bias.values[mapping.anchors])[None] * gates[bias.name](x)[:, None]
    return values, split.truth.toarray() > 0


def tied(kernels: tuple[Kernel, ...]) -> list[str]:
    """Of each source the first of those that it is computed with, and which must have one share."""
    first: dict[Hashable, str] = {}
    names = []
    for kernel in kernels:
        shared = kernel.name if kernel.matrix is None else id(kernel.matrix)
        keys: list[Hashable] = [kernel.fusion or kernel.name, shared]
        name = next((first[key] for key in keys if key in first), kernel.name)
        first |= dict.fromkeys(keys, name)
        names.append(name)
    return names


def _learn(names: Sequence[str], cases: Sequence[Case], config: GraphConfig) -> np.ndarray:
    """(S,): logarithms of the shares under which the sums of the sources put what is wanted at the heads of lists.

    The share of the factorisation is `SHARE_OF_FACTORS`, and none but that of `likeness` is greater.
    """
    import torch

    combine, made = config.combine, []
    for values, truth in cases:
        places = contenders(values, np.zeros(truth.shape, dtype=bool), combine.per_source, combine.contenders, 0)
        each = np.arange(len(truth))[:, None]
        made.append((torch.from_numpy(values[:, each, places]), torch.from_numpy(truth[each, places])))
    spread = np.mean([values.std(axis=2).mean(axis=1) for values, _ in cases], axis=0)
    begin = _shared(names, np.log([BEGIN.get(name, OTHER) for name in names]) - np.log(np.maximum(spread, 1e-9)))
    start = torch.from_numpy(begin.astype(np.float32))
    levels = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([levels])
    torch.manual_seed(config.seed)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 0.15 * (1 - step / STEPS) + 0.002
        scores, wanted = made[step % len(made)]
        rows = torch.randperm(len(wanted))[:SESSIONS]
        logits = torch.einsum("s,sqc->qc", torch.exp(levels), scores[:, rows])
        loss = lambda_loss(logits, wanted[rows]) + RIDGE * (levels - start).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return _shared(names, np.asarray(levels.detach().numpy(), dtype=np.float64)) + np.log(SHARE_OF_FACTORS)


def _shared(names: Sequence[str], levels: np.ndarray) -> np.ndarray:
    """(S,): the levels less that of the factorisation, none above 0 but that of `likeness`."""
    found = levels - (levels[list(names).index("factors")] if "factors" in names else levels.max())
    return np.where(np.array(names) == LIKENESS, found, np.minimum(found, 0.0))
