"""A real version and a real store, small: forty items of two genres, ranked by what they have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cluster.artifacts import BundleWriter
from cluster.config import Settings
from cluster.messages import Item, Version
from cluster.store import Store
from graph.bundle import save_model
from graph.config import GraphConfig
from graph.content import fit_content_map, hashed_features
from graph.kernels import Kernel
from graph.model import Bias, Gate, Model
from graph.weights import EventWeights

ITEMS = [
    *(Item(f"loud/{n}", f"Noise {n}", categories=("Rock",), attributes={"year": 1980 + n}) for n in range(20)),
    *(Item(f"静-{n}", f"Hush {n}", categories=("Ambient",), attributes={"year": 1960 + n}) for n in range(20)),
]


def make_model(version: str = "v1", items: list[Item] | None = None) -> Model:
    """Two sources: likeness of content, and popularity, which falls along the list of items."""
    known = ITEMS if items is None else items
    config = GraphConfig.model_validate({"content": {"encoder": "none"}})
    hashed = hashed_features(known, config.content.hashed_dim)
    popularity = np.linspace(50, 10, len(known)).astype(np.float32)
    return Model(
        item_ids=tuple(item.item_id for item in known),
        kernels=(Kernel("alike", source=hashed, target=hashed),),
        biases=(Bias("popular", np.log1p(popularity)),),
        gates={"alike": Gate(3.0), "popular": Gate(-2.0)},
        vectors=hashed,
        popularity=popularity,
        jitter=np.random.default_rng(1).random(len(known), dtype=np.float32),
        weights=EventWeights.from_settings(Settings().events.model_dump(), config.events),
        config=config,
        content=fit_content_map(hashed, None, popularity, config.content.ridge, 100),
        meta={"version": version},
    )


def publish(
    store: Store, folder: Path, version: str = "v1", items: list[Item] | None = None, tenant: str = "default"
) -> None:
    """Write a version, register it and make it live."""
    url = str(folder / tenant / "graph" / version)
    with BundleWriter("graph", {"version": version}) as writer:
        save_model(make_model(version, items), writer.folder)
        writer.publish(url)
    before = store.registry.live(tenant, "graph")
    store.registry.publish(Version("graph", version, url, 1, tenant=tenant))
    store.registry.move(tenant, "graph", version, before.version if before else None)
