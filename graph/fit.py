"""From interactions and catalogue to a model: all sources, then how much each one counts.

First the sources are made from a part of the events; on the rest it is found when the encoder stops and what each
source weighs. Then the sources are made again from everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from cluster.messages import Item
from graph.compare import Live
from graph.config import GraphConfig
from graph.content import ContentMap, anchors_of, fit_content_map, hashed_features
from graph.dataset import Interactions
from graph.factors import fold_in_kernel
from graph.itemitem import item_item_kernel
from graph.kernels import Kernel
from graph.likeness import LIKENESS, likeness_kernel
from graph.metrics import ndcg, top
from graph.modalities import Carried, Fusion, carried, reduced, vectors_of
from graph.model import NEW, UNMET, Bias, Carry, Gate, Model
from graph.order import order_kernels
from graph.reach import reach_of
from graph.reporting import Report, silent
from graph.splits import Split
from graph.train import Trained, is_sampled, train_encoder
from graph.traits import Traits
from graph.unmet import learn_unmet
from graph.warm import EncoderState, Warm
from graph.weighing import divisions, sampled, weigh
from graph.weights import EventWeights

VALIDATION_SCORES = 200_000_000
"""Scores that are computed to see how good the encoder is, at most."""
SPARSE_UNMET = 2_000
"""With more unmet items than this, sparse matrices are not carried over to them: they would no longer be sparse."""

KERNELS = ("graph", "item_item", "factors", "next_1", "next_2", "near", "after", "earlier", "text")


@dataclass(frozen=True, eq=False)
class Content:
    """What is known of the N items: hashed features (N, F), text vectors (N, T) or None, zero rows where missing.

    `traits` are what the choice of a list reads; `vectors` (N, D) are the owner's, by name; `impressions` (N,) say how
    often lists showed an item.
    """

    hashed: np.ndarray
    text: np.ndarray | None
    traits: Traits | None = None
    vectors: Carried = field(default_factory=dict)
    impressions: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        item_ids: tuple[str, ...],
        items: Mapping[str, Item],
        config: GraphConfig,
        text_vectors: Mapping[str, np.ndarray] | None = None,
    ) -> Content:
        """Features of the items in the order of `item_ids`; items that the catalogue lacks get zero rows.

        Raises:
            InputError: the owner's vectors of one name have several lengths.
        """
        known = [items.get(item_id) for item_id in item_ids]
        hashed = hashed_features(known, config.content.hashed_dim)
        vectors = vectors_of(known)
        if not text_vectors:
            return cls(hashed, None, Traits.of(known), vectors)
        dim = len(next(iter(text_vectors.values())))
        text = np.zeros((len(item_ids), dim), dtype=np.float32)
        for row, item_id in enumerate(item_ids):
            if item_id in text_vectors:
                text[row] = text_vectors[item_id]
        return cls(hashed, text, Traits.of(known, text, config.content.twins), vectors)

    def with_impressions(self, item_ids: tuple[str, ...], counts: Mapping[str, int]) -> Content:
        """The same with how often lists showed each of the items; None where nobody says."""
        found = np.array([counts.get(item_id, 0) for item_id in item_ids], dtype=np.float32)
        return replace(self, impressions=found if found.any() else None)

    @property
    def known(self) -> np.ndarray:
        """(N,) booleans: anything is known of the item."""
        known = np.zeros(len(self.hashed), dtype=bool)
        for array in self.carried.values():
            known |= np.abs(array).sum(axis=1) > 0
        return known

    @property
    def carried(self) -> dict[str, np.ndarray]:
        """All modalities, by name."""
        return carried(self.hashed, self.text, self.vectors)

    def express(self, mapping: ContentMap, rows: np.ndarray) -> np.ndarray:
        """(n, A): these items (n,) by the map's anchors."""
        text = None if self.text is None else self.text[rows]
        return mapping.express(self.hashed[rows], text, {name: array[rows] for name, array in self.vectors.items()})

    def reduced(self, fusion: Fusion | None, dim: int) -> np.ndarray | None:
        """(N, dim): the likeness of content, by texts or else by facts alone where nothing is joined; None for none."""
        if fusion is not None:
            return fusion.reduced(self.carried, dim)
        known = self.hashed if self.text is None else self.text
        return reduced(known, dim) if self.text is not None or np.abs(known).sum() > 0 else None


@dataclass(frozen=True, eq=False)
class Sources:
    """The sources made from one set of events."""

    kernels: tuple[Kernel, ...]
    biases: tuple[Bias, ...]
    content: ContentMap | None
    popularity: np.ndarray
    trained: Trained


def fit(
    data: Interactions,
    content: Content,
    weights: EventWeights,
    config: GraphConfig,
    report: Report | None = None,
    meta: Mapping[str, Any] | None = None,
    warm: Warm | None = None,
    trainer: Callable[..., Trained] = train_encoder,
    live: Live | None = None,
) -> Model:
    """Train everything on `data` and give the model.

    Args:
        warm: go on from this state: the encoder begins with its parameters, the gates are its gates, and what is held
            out for the figures are events newer than all that it has seen.
        report: told how far it is. meta: kept in the model as it is.
        trainer: what stands for `train_encoder`, such as the same in several processes.
        live: the version that serves; the figures beginning with `newest_` compare with it on what it has not seen.
    """
    tell = report or silent
    large = is_sampled(data.pairs, config.encoder)
    splits = divisions(data, config, large, warm, live.until_ms if live else None)
    start = warm.grown(data.item_ids, splits[0].train.pairs).encoder if warm else None
    parts = [
        (make_sources(
            split.train, content, config, "tune",
            lambda stage, share, note, place=place: tell(stage, (place + share) / len(splits), note),  # type: ignore[misc]
            validation=split, start=start, sampled=large, trainer=trainer,
        ), split)
        for place, split in enumerate(splits)
    ]  # fmt: skip
    held = parts[0][0]
    tell("combine", 0.0, f"{sum(len(split.users) for split in splits)} sessions")
    names = {kernel.name for kernel in held.kernels} | {bias.name for bias in held.biases}
    known = dict(warm.gates) if warm and set(warm.gates) - {LIKENESS, UNMET, NEW} == names else None
    asked = [(sources, split) for sources, split in parts if len(split.users)]
    gates, figures = weigh(asked, config, known, live) if asked else (known or {}, {})
    epochs = max(round(float(np.mean([sources.trained.epochs for sources, _ in parts]))), 1)
    sources = make_sources(
        data, content, config, "train", tell,
        epochs=max(1, round(epochs * config.encoder.continued)) if large else epochs,
        start=held.trained.state if large or warm else None,
        factors=next(kernel.source for kernel in held.kernels if kernel.name == "factors") if large else None,
        sampled=large, trainer=trainer,
    )  # fmt: skip
    tell("combine", 1.0, "")
    graph = sources.trained.kernel
    assert graph.target is not None
    fusion = sources.content.fusion if sources.content is not None else None
    vectors = _similarity_vectors(graph.target, content.reduced(fusion, config.content.text_dim))
    rng = np.random.default_rng(config.seed)
    gates = gates or {name: Gate() for name in (*KERNELS, "popular")}
    if known is None and sources.content is not None:
        gates = learn_unmet(asked, gates, content.hashed, content.text, config, content.vectors)
    if LIKENESS in gates:
        sources = replace(sources, kernels=(*sources.kernels, likeness_kernel(len(data.item_ids))))
    if NEW in gates:
        sources = replace(sources, biases=(*sources.biases, Bias(NEW, np.zeros(len(data.item_ids), np.float32))))
    sources = _with_unmet(sources, content, gates)
    trained_for = max(warm.epochs, 1) if warm else epochs
    until_ms = int(data.time_ms.max()) if len(data) else 0
    model = Model(
        item_ids=data.item_ids,
        kernels=sources.kernels,
        biases=sources.biases,
        gates=gates,
        vectors=vectors,
        popularity=sources.popularity,
        jitter=rng.random(len(data.item_ids), dtype=np.float32),
        weights=weights,
        config=config,
        content=sources.content,
        state=Warm(data.item_ids, sources.trained.state, gates, trained_for, until_ms),
        meta={
            "config_hash": config.config_hash, "events": len(data), "users": data.shape[0], "items": data.shape[1],
            "epochs": held.trained.epochs, "figures": figures, **(meta or {}),
        },
        traits=content.traits, impressions=content.impressions,
    )  # fmt: skip
    return replace(model, reach=reach_of(model, data.pairs, config.seed))


def _with_unmet(sources: Sources, content: Content, gates: Mapping[str, Gate]) -> Sources:
    """The sources, in which the items that nobody met stand out as the gates say."""
    if sources.content is None:
        return sources
    kernels, biases = fill_unmet(
        list(sources.kernels), list(sources.biases), sources.popularity, content, sources.content, gates
    )
    return replace(sources, kernels=tuple(kernels), biases=tuple(biases))


def make_sources(
    data: Interactions,
    content: Content,
    config: GraphConfig,
    stage: str,
    tell: Report,
    validation: Split | None = None,
    epochs: int | None = None,
    start: EncoderState | None = None,
    factors: np.ndarray | None = None,
    sampled: bool | None = None,
    trainer: Callable[..., Trained] = train_encoder,
) -> Sources:
    """All sources from these events; with `validation` the encoder stops by it, else after `epochs`.

    `start` and `factors` (N, d) are what the encoder and the factorisation begin with; `sampled` as of `train_encoder`,
    in whose place `trainer` stands.
    """
    positive = data.pairs.positive
    ordered = len(data) > 0 and int(data.time_ms.min()) < int(data.time_ms.max())
    popularity = np.asarray(positive.sum(axis=0)).ravel()
    validate = _graph_validation(validation) if validation is not None and len(validation.users) else None
    trained = trainer(
        data.pairs, config.encoder, config.seed, validate, epochs, lambda share, note: tell(stage, share, note), start,
        sampled=sampled,
    )  # fmt: skip
    factorised = fold_in_kernel(positive, config.factors, config.seed, factors)
    kernels = [
        trained.kernel,
        item_item_kernel(data.pairs, config.item_item, ordered),
        factorised,
        *order_kernels(data.pairs, config.order, ordered),
    ]
    settings, fusion = config.content, None
    if content.vectors and (popularity > 0).any():
        assert factorised.target is not None
        anchors = anchors_of(popularity, settings.max_anchor_items)
        fusion = Fusion.learn(content.carried, anchors, factorised.target, settings.ridge, config.seed)
    if (alike := content.reduced(fusion, settings.text_dim)) is not None:
        kernels.append(Kernel("text", source=alike, target=alike, power=1.0, kind="similar_text"))
    biases = [
        Bias("popular", np.log1p(popularity).astype(np.float32)),
        Bias("prior", (trained.bias - trained.bias.min()).astype(np.float32)),
        Bias("recent", recent_popularity(data)),
    ]
    mapping = None
    if content.known.any() and (popularity > 0).any():
        mapping = fit_content_map(
            content.hashed, content.text, popularity, settings.ridge, settings.max_anchor_items, content.vectors, fusion
        )
        kernels, biases = fill_unmet(kernels, biases, popularity, content, mapping)
    return Sources(tuple(kernels), tuple(biases), mapping, popularity, trained)


def fill_unmet(
    kernels: list[Kernel],
    biases: list[Bias],
    popularity: np.ndarray,
    content: Content,
    mapping: ContentMap,
    gates: Mapping[str, Gate] | None = None,
) -> tuple[list[Kernel], list[Bias]]:
    """Give the items that nobody met what their content foretells, each source by the share of its gate."""
    shares = {name: gate.share for name, gate in (gates or {}).items()}
    unmet = np.flatnonzero((popularity == 0) & content.known)
    if not len(unmet):
        return kernels, biases
    carry = Carry(mapping.anchors, content.express(mapping, unmet))
    old = len(popularity)
    swap = np.arange(old)
    swap[unmet] = old + np.arange(len(unmet))
    filled = []
    matrices: dict[int, Any] = {}
    for kernel in kernels:
        share = shares.get(kernel.name, 1.0)
        if sp.issparse(kernel.matrix) and len(unmet) > SPARSE_UNMET:
            filled.append(kernel)
            continue
        if kernel.source is not None and kernel.kind == "similar_text":
            target = kernel.source.copy()
            target[unmet] *= share
            filled.append(replace(kernel, target=target))
            continue
        if kernel.matrix is not None:
            # Sources with one matrix keep having one.
            matrix = matrices.get(id(kernel.matrix))
            if matrix is None:
                longer = carry.kernel(kernel, share)
                assert longer.matrix is not None
                matrix = longer.matrix[swap][:, swap]
                if not sp.issparse(matrix):
                    matrix = np.ascontiguousarray(matrix)
                matrices[id(kernel.matrix)] = matrix
            filled.append(replace(kernel, matrix=matrix))
        else:
            longer = carry.kernel(kernel, share)
            assert longer.source is not None and longer.target is not None
            filled.append(replace(longer, source=longer.source[swap], target=longer.target[swap]))
    changed = []
    for bias in biases:
        values = bias.values.copy()
        values[unmet] = carry.rows(bias.values, shares.get(bias.name, 1.0))
        changed.append(replace(bias, values=values))
    return filled, changed


def recent_popularity(data: Interactions, share: float = 0.1) -> np.ndarray:
    """(N,) float32: the logarithm of how often each item was met in the newest share of all events."""
    if not len(data):
        return np.zeros(data.shape[1], dtype=np.float32)
    since = np.quantile(data.time_ms, 1.0 - share)
    late = (data.time_ms >= since) & (data.strength > 0)
    return np.log1p(np.bincount(data.item[late], minlength=data.shape[1])).astype(np.float32)


def _graph_validation(split: Split) -> Callable[[Kernel, np.ndarray], float]:
    items = split.truth.shape[1]
    count = max(VALIDATION_SCORES // items, 1)
    if len(split.users) > count:
        split = sampled(split, count, 0)
    sessions, seen = split.sessions(), split.seen()
    step = max(1, VALIDATION_SCORES // 10 // items)

    def figure(kernel: Kernel, bias: np.ndarray) -> float:
        assert kernel.target is not None
        vectors = kernel.vectors(sessions, kernel.weights(sessions))
        found = [
            top(vectors[start : start + step] @ kernel.target.T + bias[None, :], 10, seen[start : start + step])
            for start in range(0, len(vectors), step)
        ]
        return ndcg(np.concatenate(found), split.truth)

    return figure


def _similarity_vectors(target: np.ndarray, alike: np.ndarray | None) -> np.ndarray:
    """(N, d) unit vectors of behaviour and content (N, dim), if any, together."""
    centred = target - target.mean(axis=0)
    parts = [centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)]
    if alike is not None and np.abs(alike).sum() > 0:
        parts.append(alike)
    joined = np.concatenate(parts, axis=1)
    return np.asarray(joined / np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-9), dtype=np.float32)


__all__ = ["Content", "Sources", "fit", "make_sources"]
