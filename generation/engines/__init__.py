"""Text engines by name, made lazily: importing this module loads no model library."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from cluster.errors import ConfigError
from generation.config import GenerationConfig
from generation.demo import Progress, prepare_model
from generation.engines.base import Chunk, Engine, EngineCounts, EngineRequest

AUTO = "auto"


def _bitsandbytes(model: str, config: GenerationConfig, models_dir: Path) -> Engine:
    from generation.engines.bitsandbytes import BitsAndBytesEngine

    return BitsAndBytesEngine(model, config, models_dir)


def _openvino(model: str, config: GenerationConfig, models_dir: Path) -> Engine:
    from generation.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(model, config, models_dir)


def _vllm(model: str, config: GenerationConfig, models_dir: Path) -> Engine:
    from generation.engines.vllm import VllmEngine

    return VllmEngine(model, config, models_dir)


CREATORS: dict[str, Callable[[str, GenerationConfig, Path], Engine]] = {
    "bitsandbytes": _bitsandbytes,
    "openvino": _openvino,
    "vllm": _vllm,
}


def resolve(name: str, model: str, device: str = "auto") -> str:
    """The engine that a name stands for.

    `auto` is, on CUDA, vllm where one that quantises is installed, else bitsandbytes; on a CPU openvino where it can
    read the model, else bitsandbytes.

    Args:
        name: `auto` or one of `CREATORS`.
        model: the setting `model`.
        device: the setting `generation.device`.

    Raises:
        ConfigError: there is no engine of that name.
    """
    if name == AUTO:
        if device != "cpu" and has_cuda():
            from generation.engines.vllm import quantises

            return "vllm" if quantises() else "bitsandbytes"
        from generation.engines.openvino import reads

        return "openvino" if find_spec("openvino") and reads(model) else "bitsandbytes"
    if name not in CREATORS:
        raise ConfigError(f"setting 'engine' is {name!r}: known are {', '.join([AUTO, *sorted(CREATORS)])}")
    return name


def has_cuda() -> bool:
    """Whether this process can use CUDA. torch is imported only where there is a driver at all."""
    if not Path("/proc/driver/nvidia/version").exists():
        return False
    import torch

    return torch.cuda.is_available()


def make(name: str, model: str, config: GenerationConfig, models_dir: Path) -> Engine:
    """An engine, not yet started.

    Raises:
        ConfigError: there is no engine of that name.
    """
    return CREATORS[resolve(name, model, config.device)](model, config, models_dir)


def prepare(name: str, model: str, models_dir: Path, progress: Progress) -> Path | str:
    """Bring a model into the form that its engine loads quickest, once; where it is then.

    Raises:
        ConfigError, EngineError: there is no such engine or model, or it cannot be read.
    """
    if resolve(name, model) == "openvino":
        from generation.engines.openvino import prepare as convert

        return convert(model, models_dir, progress)
    return prepare_model(model, models_dir, progress)


__all__ = ["AUTO", "CREATORS", "Chunk", "Engine", "EngineCounts", "EngineRequest", "make", "prepare", "resolve"]
