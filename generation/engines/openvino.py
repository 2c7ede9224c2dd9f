"""The engine `openvino`: GGUF files and OpenVINO models on the CPU, in 4 bits, batched continuously.

OpenVINO computes; which token comes next is decided here, as for every engine of `loop.LoopEngine`.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError, EngineError
from cluster.messages import EngineInfo
from generation.config import GenerationConfig
from generation.demo import DEMO, DEMO_NAME, Progress, demo_gguf, unpacked
from generation.engines.decode import Part
from generation.engines.loop import Loaded, LoopEngine, end_tokens_of
from generation.engines.paged import PagedBackend, compile_paged

log = logging.getLogger("tailorbird.generation")

MODEL_FILE = "openvino_model.xml"
_DEFAULT_CONTEXT = 2048


class OpenVinoEngine(LoopEngine):
    """See `generation.engines.base.Engine`."""

    def __init__(self, model: str, config: GenerationConfig, models_dir: Path) -> None:
        super().__init__(model, config)
        self._models_dir = models_dir

    def load(self) -> Loaded:
        """See `LoopEngine`."""
        config = self._config
        folder = prepare(self._name, self._models_dir)
        tokenizer = _tokenizer(folder)
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        compiled = compile_paged(folder, config.threads or len(os.sched_getaffinity(0)))
        context = int(facts.get("max_position_embeddings", _DEFAULT_CONTEXT))
        backend = PagedBackend(compiled, config.max_batch, config.kv_bytes, context)
        backend.step([Part(0, 0, [0])])  # the first step packs the weights
        info = EngineInfo(
            engine="openvino",
            model=DEMO_NAME if self._name == DEMO else Path(self._name).stem,
            quantization=str(facts.get("tailorbird_quantization", "as in the file")),
            weight_bytes=(folder / MODEL_FILE).with_suffix(".bin").stat().st_size,
            device="cpu",
            context_tokens=backend.tokens,
        )
        return Loaded(backend, tokenizer, end_tokens_of(tokenizer), info)


def _tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder. `AutoTokenizer` would import torch: 3 s and 260 MiB for nothing."""
    if (folder / "tokenizer.json").is_file():
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(str(folder))
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


def reads(model: str) -> bool:
    """Whether this engine can read a model, as far as its name tells."""
    return model == DEMO or model.endswith(".gguf") or (Path(model).expanduser() / MODEL_FILE).is_file()


def prepare(model: str, models_dir: Path, progress: Progress = log.info) -> Path:
    """A folder with the model in OpenVINO's format and its tokenizer; a GGUF file is converted once.

    Raises:
        ConfigError: there is no such file or folder, or it is of another kind.
        EngineError: the file cannot be converted.
    """
    path = demo_gguf() if model == DEMO else Path(model).expanduser()
    if path.is_dir() and (path / MODEL_FILE).is_file():
        return path.resolve()
    if path.suffix != ".gguf" or not path.is_file():
        raise ConfigError(
            f"model is {model!r}: the engine openvino reads GGUF files and folders with {MODEL_FILE}; "
            "the engine bitsandbytes reads any Hugging Face model"
        )
    return unpacked(path.resolve(), models_dir, "openvino", _convert, progress)


def _convert(source: Path, folder: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    from generation.engines.gguf_file import quantization_of
    from generation.engines.openvino_runtime import genai

    link = folder / source.name
    link.symlink_to(source)
    try:
        genai().LLMPipeline(str(link), "CPU", enable_save_ov_model=True)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot read {source.name}; the engine bitsandbytes may: {error}") from error
    link.unlink()
    config = AutoConfig.from_pretrained(str(source.parent), gguf_file=source.name).to_dict()
    config["tailorbird_quantization"] = quantization_of(source)
    AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(str(folder))
    (folder / "config.json").write_text(json.dumps(config, default=str), encoding="utf-8")
