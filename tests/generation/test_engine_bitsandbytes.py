"""The engine `bitsandbytes` beside transformers itself."""

from __future__ import annotations

import pytest

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
