"""What the jobs that train have in common: the checked configuration and the weights of events."""

from __future__ import annotations

from cluster.config import Settings, parse_section
from graph.config import GraphConfig
from graph.weights import EventWeights


def graph_config_of(settings: Settings) -> GraphConfig:
    """The section `graph`, checked. Raises ConfigError."""
    return parse_section(GraphConfig, settings.graph, "graph")


def weights_of(settings: Settings, config: GraphConfig) -> EventWeights:
    """How events count."""
    return EventWeights.from_settings(settings.events.model_dump(), config.events)
