"""What the sources are worth for items that nobody met: learnt on items that are taken for such.

What a source says of an item by its content is surer for one source than for another: a taste in common carries over, a
popularity hardly does. A part of the items is therefore expressed by the others and ranked among itself, for the people
who met them, of whom these events are hidden. The sources stay as they are: making them again without these items
would cost a training, and gave the same weights.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from graph.combine import contenders, lambda_loss
from graph.config import GraphConfig
from graph.content import fit_content_map
from graph.dataset import Interactions
from graph.fresh import carried_rows
from graph.kernels import Kernel
from graph.model import Gate, context
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
RIDGE = 1.0
"""What holds the shares near 1, in sessions."""
STEPS = 100
SESSIONS = 200
"""Sessions per step."""
LEVELLED = 4.0
"""Sources worth more than the greatest share over this count alike."""
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
    groups = tied(kernels) + [bias.name for bias in biases]
    names = list(dict.fromkeys(groups))
    member = np.array([[group == name for group in groups] for name in names], dtype=np.float32)
    cases: list[Case] = []
    for fold in range(FOLDS):
        case = _case(sources, data, gates, hashed, text, config, config.seed + fold)
        if case is not None:
            cases.append((np.einsum("gs,sqc->gqc", member, case[0]), case[1]))
    if not cases:
        return dict(gates)
    learnt = dict(zip(names, _learn(cases, config), strict=True))
    of = dict(zip([kernel.name for kernel in kernels] + [bias.name for bias in biases], groups, strict=True))
    return {name: replace(gate, unmet=float(learnt[of[name]])) for name, gate in gates.items() if name in of}


def _case(
    sources: Weighed,
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
    known &= sources.popularity > 0
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
    others = sources.popularity * ~taken
    mapping = fit_content_map(hashed, text, others, settings.ridge, settings.max_anchor_items)
    weights = mapping.express(hashed[new], None if text is None else text[new])
    x = context(sessions)
    anchors = np.broadcast_to(mapping.anchors, (len(sessions), len(mapping.anchors)))
    values = np.empty((len(sources.kernels) + len(sources.biases), len(sessions), len(new)), dtype=np.float32)
    for place, kernel in enumerate(sources.kernels):
        few = len(known) <= DENSE_ITEMS
        scores = kernel.scores(sessions)[:, mapping.anchors] if few else kernel.scores_at(sessions, anchors)
        values[place] = carried_rows(weights, scores.T, 1.0).T * gates[kernel.name](x)[:, None]
    for place, bias in enumerate(sources.biases, start=len(sources.kernels)):
        values[place] = carried_rows(weights, bias.values[mapping.anchors], 1.0)[None] * gates[bias.name](x)[:, None]
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


def _learn(cases: Sequence[Case], config: GraphConfig) -> np.ndarray:
    """(S,): logarithms of the shares under which the sums of the sources put what is wanted at the heads of lists."""
    import torch

    combine, made = config.combine, []
    for values, truth in cases:
        places = contenders(values, np.zeros(truth.shape, dtype=bool), combine.per_source, combine.contenders, 0)
        each = np.arange(len(truth))[:, None]
        made.append((torch.from_numpy(values[:, each, places]), torch.from_numpy(truth[each, places])))
    levels = torch.zeros(len(cases[0][0]), requires_grad=True)
    optimiser = torch.optim.Adam([levels])
    torch.manual_seed(config.seed)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 0.15 * (1 - step / STEPS) + 0.002
        scores, wanted = made[step % len(made)]
        rows = torch.randperm(len(wanted))[:SESSIONS]
        logits = torch.einsum("s,sqc->qc", torch.exp(levels), scores[:, rows])
        loss = lambda_loss(logits, wanted[rows]) + RIDGE / len(wanted) * levels.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    # Only the proportions order new items. None counts more than for the others, or where most of a catalogue is unmet,
    # as in small data, the lists fill with it; a few may count as much.
    found = np.asarray(levels.detach().numpy(), dtype=np.float64)
    return np.minimum(found - found.max() + np.log(LEVELLED), 0.0)
