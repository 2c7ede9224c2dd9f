"""What the jobs that train have in common: the checked configuration, event weights, text vectors of the catalogue."""

from __future__ import annotations

import numpy as np

from cluster.config import Settings, parse_section
from cluster.messages import Item
from graph.config import GraphConfig
from graph.text import TextEncoder, TextVectorCache, find_encoder
from graph.text import describe as text_of
from graph.weights import EventWeights
from jobs.common import progress


def graph_config_of(settings: Settings) -> GraphConfig:
    """The section `graph`, checked. Raises ConfigError."""
    return parse_section(GraphConfig, settings.graph, "graph")


def weights_of(settings: Settings, config: GraphConfig) -> EventWeights:
    """How events count."""
    return EventWeights.from_settings(settings.events.model_dump(), config.events)


def text_vectors(items: dict[str, Item], config: GraphConfig, settings: Settings) -> dict[str, np.ndarray]:
    """Text vectors of the catalogue; those of unchanged texts come from a cache in the state directory."""
    folder = find_encoder(config.content.encoder)
    if folder is None or not items:
        return {}
    cache = TextVectorCache.open(settings.state_dir / "cache" / "text-vectors.npz", str(folder.name))
    texts = {item_id: text_of(item) for item_id, item in items.items()}
    missing = sorted({text for text in texts.values() if text and text not in cache})
    if missing:
        encoder = TextEncoder(folder, config.encoder.threads)
        with progress("text vectors", total=len(missing), unit="texts") as report:
            cache.put(missing, encoder.encode(missing, report=lambda share: report(share * len(missing))))
        cache.save()
    return {item_id: cache[text] for item_id, text in texts.items() if text}
