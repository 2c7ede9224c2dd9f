"""The engine `bitsandbytes`: transformers models with 4-bit weights, on CUDA or the CPU, batched continuously."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.messages import EngineInfo
from generation.config import GenerationConfig
from generation.demo import DEMO, DEMO_NAME, prepare_model
from generation.engines.decode import Part
from generation.engines.loop import Loaded, LoopEngine, end_tokens_of

if TYPE_CHECKING:
    from generation.engines.slots import SlotCache
    from generation.engines.threads import ThreadGovernor

log = logging.getLogger("tailorbird.generation")


class BitsAndBytesEngine(LoopEngine):
    """See `generation.engines.base.Engine`."""

    def __init__(self, model: str, config: GenerationConfig, models_dir: Path) -> None:
        super().__init__(model, config)
        self._models_dir = models_dir

    def load(self) -> Loaded:
        """See `LoopEngine`."""
        # Read once, when torch loads its OpenMP: threads that spin while they wait ruin every step on busy cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        from generation.engines.loading import load
        from generation.engines.slots import SlotCache
        from generation.engines.threads import ThreadGovernor

        config = self._config
        source = prepare_model(self._name, self._models_dir, log.info)
        model, tokenizer = load(str(source), config)
        if model.device.type == "cpu" and config.quantization != "none":
            from generation.engines.fused import fuse

            fuse(model)
        cache = SlotCache(model.config, config.max_batch, config.kv_bytes, model.dtype, model.device)
        most = config.threads or len(os.sched_getaffinity(0)) if model.device.type == "cpu" else 1
        info = EngineInfo(
            engine="bitsandbytes",
            model=DEMO_NAME if self._name == DEMO else self._name,
            quantization=config.quantization,
            weight_bytes=int(model.get_memory_footprint()),
            device=str(model.device),
            context_tokens=cache.tokens,
        )
        backend = TorchBackend(model, cache, ThreadGovernor(most, torch.set_num_threads))
        backend.step([Part(0, 0, [0])])  # bitsandbytes packs the weights for the CPU at their first use
        return Loaded(backend, tokenizer, end_tokens_of(tokenizer, model.generation_config, model.config), info)


class TorchBackend:
    """See `generation.engines.decode.Backend`."""

    def __init__(self, model: Any, cache: SlotCache, governor: ThreadGovernor) -> None:
        self.model = model
        self.tokens = cache.tokens
        self.per_token_bytes = cache.per_token_bytes
        self.move, self.save, self.load = cache.move, cache.save, cache.load
        self._cache = cache
        self._governor = governor

    def step(self, parts: list[Part]) -> np.ndarray:
        """See the protocol."""
        import torch

        device, order = (
            self.model.device,
            sorted(range(len(parts)), key=lambda n: (len(parts[n].tokens) > 1, parts[n].row)),
        )
        ordered = [parts[n] for n in order]
        tokens = [token for part in ordered for token in part.tokens]
        last = np.cumsum([len(part.tokens) for part in ordered]) - 1
        with torch.inference_mode(), self._governor.step(len(tokens)):
            out = self.model(
                input_ids=torch.tensor([tokens], device=device),
                position_ids=self._cache.point(ordered),
                attention_mask=torch.ones(
                    1, 1, 1, 1, dtype=torch.bool, device=device
                ),  # attention has masks of its own
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=torch.from_numpy(last).to(device),
            )
            logits: np.ndarray = out.logits[0].float().cpu().numpy()
        return logits[np.argsort(order)]
