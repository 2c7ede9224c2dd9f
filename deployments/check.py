"""All settings, checked together: `python -m deployments.check` says what is wrong with them, exit code 2, or nothing.

The sections of the domain packages are checked by those packages, which `cluster` may not import; so `tailorbird serve`
asks this module, in a process of its own, before it starts anything.
"""

from __future__ import annotations

import sys

from cluster.config import Settings, load_settings, parse_section
from cluster.errors import ConfigError
from generation.config import GenerationConfig
from generation.engines import resolve
from graph.config import GraphConfig


def check_settings(settings: Settings) -> None:
    """Check the sections `graph` and `generation` and the name of the engine.

    Raises:
        ConfigError: naming what is unknown or malformed.
    """
    parse_section(GraphConfig, settings.graph, "graph")
    parse_section(GenerationConfig, settings.generation, "generation")
    resolve(settings.engine, settings.model)


def main() -> int:
    """Check the settings of the environment and its file; the exit code."""
    try:
        check_settings(load_settings())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
