"""What the folder of a version holds: the model's arrays as .npy, its words as JSON, the FAISS index. No pickles.

model.json          settings, gates, names and parameters of the sources, figures
items.json          item ids, in the order of all arrays
arrays/NAME.npy     every array, memory-mapped when read
index.faiss         the index over the items' joined target vectors, where there are too many to score all of them
index_scale.npy     what the joined vectors are multiplied by in the index, and queries divided by
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cluster.errors import BundleError
from graph.config import GraphConfig
from graph.content import ContentMap
from graph.factors import FoldInKernel
from graph.index import build_index, save_index
from graph.kernels import Kernel
from graph.modalities import FACTS, OWN, Fusion
from graph.model import Bias, Gate, Model
from graph.retrieval import joined_targets, query_scale
from graph.traits import Traits
from graph.weights import EventWeights

FORMAT, FUSED = 3, 4
READABLE = (1, 2, 3, 4)
"""Format 1 had no shared matrices; up to format 2 new items were expressed in another way, and wait for a refresh. A
version is of format 4 where items carry vectors of their owner's: programs of before would not read them."""
CONTENT = ("anchors", "inverse", "hashed", "text", "centre")
"""Arrays of a `ContentMap`."""


def save_model(model: Model, folder: Path) -> None:
    """Write the model into an empty folder, fused, for it ranks the same and faster."""
    arrays = folder / "arrays"
    arrays.mkdir(parents=True, exist_ok=True)

    def put(name: str, array: np.ndarray) -> None:
        np.save(arrays / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)

    if model.state is not None:
        model.state.save(folder)
    model = model.fused()
    kernels: list[dict[str, Any]] = []
    written: dict[int, str] = {}
    for kernel in model.active:
        shape = "factors"
        extra: dict[str, Any] = {}
        if isinstance(kernel, FoldInKernel):
            assert kernel.ground is not None
            shape, extra = "fold_in", {"alpha": kernel.alpha}
            put(f"{kernel.name}.ground", kernel.ground)
        if kernel.matrix is None:
            assert kernel.source is not None and kernel.target is not None
            put(f"{kernel.name}.source", kernel.source)
            put(f"{kernel.name}.target", kernel.target)
        elif id(kernel.matrix) in written:
            shape, extra = "same", {"as": written[id(kernel.matrix)]}
        elif sp.issparse(kernel.matrix):
            shape = "sparse"
            for part in ("data", "indices", "indptr"):
                put(f"{kernel.name}.{part}", getattr(kernel.matrix, part))
        else:
            shape = "dense"
            put(f"{kernel.name}.matrix", kernel.matrix)
        if kernel.matrix is not None:
            written.setdefault(id(kernel.matrix), kernel.name)
        memory, most = (value if np.isfinite(value) else None for value in (kernel.memory, kernel.most))
        reading = {"memory": memory, "power": kernel.power, "most": most}
        kernels.append({"name": kernel.name, "shape": shape, "kind": kernel.kind} | reading | extra)
    for bias in model.active_biases:
        put(f"{bias.name}.bias", bias.values)
    put("vectors", model.vectors)
    put("popularity", model.popularity)
    put("jitter", model.jitter)
    fusion = model.content.fusion if model.content is not None else None
    if model.content is not None:
        for name in CONTENT:
            if (array := getattr(model.content, name)) is not None:
                put(f"content.{name}", array)
        for name, array in model.content.vectors.items():
            put(f"content.vectors.{name}", array)
        for name, array in (fusion.centres if fusion is not None else {}).items():
            put(f"content.centres.{name}", array)
    if model.traits is not None:
        put("traits.twins", model.traits.twins)
        for part in ("data", "indices", "indptr"):
            put(f"traits.categories.{part}", getattr(model.traits.categories, part))
    if model.reach is not None:
        put("reach", model.reach)
    if model.impressions is not None:
        put("impressions", model.impressions)
    serving = model.config.serving
    if len(model.item_ids) > serving.exhaustive_items:
        scale = query_scale(model)
        np.save(folder / "index_scale.npy", scale)
        index = build_index(joined_targets(model) * scale, serving.probe_share, model.config.seed)
        save_index(index, folder / "index.faiss")
    (folder / "items.json").write_text(json.dumps(list(model.item_ids), ensure_ascii=False), encoding="utf-8")
    words = {
        "format": FORMAT if fusion is None else FUSED,
        "config": model.config.model_dump(mode="json"),
        "config_hash": model.config.config_hash,
        "event_weights": model.weights.to_dict(),
        "kernels": kernels,
        "biases": [{"name": bias.name, "kind": bias.kind} for bias in model.active_biases],
        "gates": {name: asdict(gate) for name, gate in model.gates.items()},
        "categories": None if model.traits is None else list(model.traits.names),
        "fusion": None if fusion is None else {"logits": dict(fusion.logits), "scale": fusion.scale},
        "meta": dict(model.meta),
    }
    (folder / "model.json").write_text(json.dumps(words, indent=1, ensure_ascii=False), encoding="utf-8")


def load_model(folder: Path) -> Model:
    """Read a model, its arrays memory-mapped.

    Raises:
        BundleError: a file is missing or malformed, or the format is another one.
    """
    try:
        return _load(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"the version in {str(folder)!r} cannot be read: {error}") from error


def _load(folder: Path) -> Model:
    words: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    if words.get("format") not in READABLE:
        raise BundleError(f"the version in {str(folder)!r} has format {words.get('format')!r}, this reads {READABLE}")
    item_ids = tuple(json.loads((folder / "items.json").read_text(encoding="utf-8")))

    def get(name: str) -> np.ndarray:
        loaded = np.load(folder / "arrays" / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return np.asarray(loaded)

    kernels: list[Kernel] = []
    for entry in words["kernels"]:
        name = entry["name"]
        given: dict[str, Any] = {"source": None, "target": None, "matrix": None}
        if entry["shape"] in ("factors", "fold_in"):
            given |= {"source": get(f"{name}.source"), "target": get(f"{name}.target")}
        elif entry["shape"] == "same":
            given["matrix"] = next(kernel.matrix for kernel in kernels if kernel.name == entry["as"])
        elif entry["shape"] == "dense":
            given["matrix"] = get(f"{name}.matrix")
        else:
            parts = tuple(get(f"{name}.{part}") for part in ("data", "indices", "indptr"))
            given["matrix"] = sp.csr_matrix(parts, shape=(len(item_ids), len(item_ids)), copy=False)
        memory, most = (float("inf") if entry.get(name) is None else entry[name] for name in ("memory", "most"))
        given |= {"memory": memory, "power": entry["power"], "most": most, "kind": entry["kind"]}
        if entry["shape"] == "fold_in":
            kernels.append(FoldInKernel(name, alpha=entry["alpha"], ground=get(f"{name}.ground"), **given))
        else:
            kernels.append(Kernel(name, **given))
        if kernels[-1].items != len(item_ids):
            raise BundleError(f"source {name!r} has {kernels[-1].items} items, the version {len(item_ids)}")
    config = GraphConfig.model_validate(words["config"])
    content = None
    if words["format"] >= 3 and (folder / "arrays" / "content.anchors.npy").exists():
        there = [name for name in CONTENT if (folder / "arrays" / f"content.{name}.npy").exists()]
        arrays: dict[str, Any] = {name: get(f"content.{name}") for name in there}
        content = ContentMap(**arrays)
        if (fused := words.get("fusion")) is not None:
            centres = {name: get(f"content.centres.{name}") for name in fused["logits"] if name != FACTS}
            own = {name.removeprefix(OWN): get(f"content.{name}") for name in fused["logits"] if name.startswith(OWN)}
            fusion = Fusion(fused["logits"], centres, fused["scale"])
            content = replace(content, fusion=fusion, vectors=own)
    traits = None
    if (names := words.get("categories")) is not None:
        parts = tuple(get(f"traits.categories.{part}") for part in ("data", "indices", "indptr"))
        shape = (len(item_ids), len(names))
        traits = Traits(get("traits.twins"), sp.csr_matrix(parts, shape=shape, copy=False), tuple(names))

    def find(name: str) -> np.ndarray | None:
        return get(name) if (folder / "arrays" / f"{name}.npy").exists() else None

    return Model(
        item_ids=item_ids,
        kernels=tuple(kernels),
        biases=tuple(Bias(e["name"], get(f"{e['name']}.bias"), e["kind"]) for e in words["biases"]),
        gates={name: Gate(**gate) for name, gate in words["gates"].items()},
        vectors=get("vectors"),
        popularity=get("popularity"),
        jitter=get("jitter"),
        weights=EventWeights.from_settings(words["event_weights"], config.events),
        config=config,
        content=content,
        meta=words["meta"],
        traits=traits,
        reach=find("reach"),
        impressions=find("impressions"),
    )
