"""Text engines by name, made lazily: importing this module loads no model library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cluster.errors import ConfigError
from generation.config import GenerationConfig
from generation.engines.base import Chunk, Engine, EngineCounts, EngineRequest

AUTO = "auto"


def _bitsandbytes(model: str, config: GenerationConfig, models_dir: Path) -> Engine:
    from generation.engines.bitsandbytes import BitsAndBytesEngine

    return BitsAndBytesEngine(model, config, models_dir)


def _xllamacpp(model: str, config: GenerationConfig, models_dir: Path) -> Engine:
    from generation.engines.xllamacpp import XllamacppEngine

    return XllamacppEngine(model, config)


CREATORS: dict[str, Callable[[str, GenerationConfig, Path], Engine]] = {
    "bitsandbytes": _bitsandbytes,
    "xllamacpp": _xllamacpp,
}


def resolve(name: str) -> str:
    """The engine that a name stands for: `auto` is the best one for this machine.

    Raises:
        ConfigError: there is no engine of that name.
    """
    if name == AUTO:
        return "bitsandbytes"
    if name not in CREATORS:
        raise ConfigError(f"setting 'engine' is {name!r}: known are {', '.join([AUTO, *sorted(CREATORS)])}")
    return name


def make(name: str, model: str, config: GenerationConfig, models_dir: Path) -> Engine:
    """An engine, not yet started.

    Raises:
        ConfigError: there is no engine of that name.
    """
    return CREATORS[resolve(name)](model, config, models_dir)


__all__ = ["AUTO", "CREATORS", "Chunk", "Engine", "EngineCounts", "EngineRequest", "make", "resolve"]
