"""The engine `bitsandbytes` on the demo model."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import parse_section
from cluster.errors import ConfigError, EngineError
from generation import engines
from generation.config import GenerationConfig
from generation.demo import prepare_model
from generation.engines import Engine, make, resolve
from generation.engines.bitsandbytes import BitsAndBytesEngine
from generation.words import lexicon
from tests.generation.engine_contract import EngineContract, collect, request


class TestBitsAndBytes(EngineContract):
    """The contract, and what is particular to this engine."""

    async def test_weights_are_four_bit(self, engine: Engine) -> None:
        info = engine.info()
        assert info.quantization == "nf4" and info.model == "SmolLM2-135M-Instruct"
        assert info.weight_bytes < 135e6  # bfloat16 would take 269 MB; embeddings and norms are not quantised

    async def test_it_writes_what_transformers_writes(self, engine: Engine) -> None:
        assert isinstance(engine, BitsAndBytesEngine)
        model, tokenizer = engine._batch._backend.model, engine._tokenizer
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

    async def test_a_lexicon_is_kept(self, engine: Engine) -> None:
        words = lexicon([{"title": "Babe", "categories": ["Comedy"]}], [], "")
        text, _, _ = await collect(engine, request("closed", max_tokens=32, lexicon=words, begun="Babe is a"))
        known = words.vocabulary.words | words.vocabulary.starters | words.words | {"Babe"}
        assert {word.strip(",;.!?") for word in text.split()} <= known

    async def test_repeated_beginnings_are_computed_once(self, engine: Engine) -> None:
        long = (("system", "You write one short sentence about the weather."), *request("x").messages[1:])
        for n in range(2):
            before = engine.counts().prefix_tokens
            await collect(engine, request(f"p{n}", messages=long, shared_messages=1, max_tokens=2))
        assert engine.counts().prefix_tokens > before


@pytest.mark.integration
async def test_a_stopped_engine_says_so_and_starts_again(models_dir: Path) -> None:
    engine = make("bitsandbytes", "demo", GenerationConfig(max_batch=1, kv_bytes=8 << 20, threads=1), models_dir)
    with pytest.raises(EngineError, match="not started"):
        engine.health()
    await engine.start()
    await engine.stop()
    with pytest.raises(EngineError):
        await collect(engine, request("stopped"))
    await engine.start()
    assert (await collect(engine, request("again", max_tokens=2)))[1] == 2
    await engine.stop()
    await engine.stop()


def test_auto_is_the_best_engine_for_machine_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_cuda", lambda: False)
    assert resolve("auto", "demo") == resolve("auto", "/a/file.gguf") == "openvino"
    assert resolve("auto", "Qwen/Qwen2.5-0.5B-Instruct") == "bitsandbytes"
    monkeypatch.setattr(engines, "has_cuda", lambda: True)
    assert resolve("auto", "demo") == "bitsandbytes"
    assert resolve("auto", "demo", "cpu") == "openvino"
    assert resolve("openvino", "demo") == "openvino"
    with pytest.raises(ConfigError, match="known are auto, bitsandbytes"):
        resolve("abacus", "demo")


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere.gguf", "~/nowhere", "gpt", "a/b/c"])
def test_models_that_cannot_be_are_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        prepare_model(model, tmp_path)


def test_hugging_face_ids_and_folders_pass(tmp_path: Path) -> None:
    assert prepare_model("Qwen/Qwen2.5-0.5B-Instruct", tmp_path) == "Qwen/Qwen2.5-0.5B-Instruct"
    (tmp_path / "config.json").write_text("{}")
    assert prepare_model(str(tmp_path), tmp_path) == tmp_path


def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"generation\.max_batch"):
        parse_section(GenerationConfig, {"max_batch": 0}, "generation")
    with pytest.raises(ConfigError, match=r"generation\.colour"):
        parse_section(GenerationConfig, {"colour": 1}, "generation")
