"""The engine `bitsandbytes` beside transformers itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from generation.config import GenerationConfig
from generation.demo import prepare_model
from generation.engines import Engine
from generation.engines.bitsandbytes import BitsAndBytesEngine, TorchBackend
from tests.generation.test_engine_contract import collect, request


@pytest.mark.integration
async def test_it_writes_what_transformers_writes(engine: Engine) -> None:
    assert isinstance(engine, BitsAndBytesEngine)
    backend, tokenizer = engine._batch._backend, engine._tokenizer
    assert isinstance(backend, TorchBackend)
    model = backend.model
    text, _, _ = await collect(engine, request("ours", max_tokens=12))
    messages = [{"role": role, "content": content} for role, content in request("x").messages]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model.set_attn_implementation("sdpa")
    try:
        out = model.generate(**ids, max_new_tokens=12, do_sample=False)
    finally:
        model.set_attn_implementation("tailorbird_slots")
    theirs = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
    assert text[:24] == theirs[:24]  # later tokens may part ways by rounding


@pytest.mark.integration
def test_a_fused_model_computes_the_same(models_dir: Path) -> None:
    import torch

    from generation.engines.fused import ByteLinear, fuse
    from generation.engines.loading import load

    source = str(prepare_model("demo", models_dir))
    model, tokenizer = load(source, GenerationConfig(device="cpu"))
    model.set_attn_implementation("sdpa")
    ids = torch.tensor([tokenizer.encode("Because you liked Heat, try Fargo, a gritty crime story that never lets go")])
    with torch.inference_mode():
        before = model(ids).logits[0].float().numpy()
    model, _ = load(source, GenerationConfig(device="cpu"))
    model.set_attn_implementation("sdpa")
    layers = sum(isinstance(module, torch.nn.Linear) for module in model.modules())
    fuse(model)
    assert isinstance(model.get_output_embeddings(), ByteLinear)
    assert sum(isinstance(module, torch.nn.Linear) for module in model.modules()) == (layers - 1) * 4 // 7
    with torch.inference_mode():
        after = model(ids).logits[0].float().numpy()
        again = model(ids).logits[0].float().numpy()
    assert np.array_equal(after, again)
    assert np.mean(before.argmax(1) == after.argmax(1)) > 0.8  # it rounds elsewhere
    assert all(np.corrcoef(one, other)[0, 1] > 0.99 for one, other in zip(before, after, strict=True))
