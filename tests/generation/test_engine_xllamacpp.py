"""The engine `xllamacpp` on the demo model's GGUF file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.errors import ConfigError, EngineError
from generation.config import GenerationConfig
from generation.engines import Engine, make
from generation.words import lexicon
from tests.generation.conftest import CONFIG
from tests.generation.engine_contract import EngineContract, collect, request


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Started on the demo model."""
    config = CONFIG.model_copy(update={"threads": 1})  # more spin on cores that have other work
    made = make("xllamacpp", "demo", config, tmp_path_factory.mktemp("models"))
    asyncio.run(made.start())
    yield made
    asyncio.run(made.stop())


class TestXllamacpp(EngineContract):
    """The contract, and what is particular to this engine."""

    async def test_weights_are_four_bit(self, engine: Engine) -> None:
        info = engine.info()
        assert (info.quantization, info.model, info.device) == ("q4_1", "SmolLM2-135M-Instruct", "cpu")
        assert info.weight_bytes < 110e6

    @pytest.mark.parametrize("begun", ["Babe is a", "If you liked Alien, Babe is", ""])
    async def test_a_lexicon_is_kept(self, engine: Engine, begun: str) -> None:
        words = lexicon([{"title": "Babe", "categories": ["Comedy"]}], [], begun)
        known = words.vocabulary.words | words.vocabulary.starters | words.words | {"Babe"}
        for seed in range(4):
            asked = request(f"closed{seed}", max_tokens=48, lexicon=words, begun=begun, temperature=0.8, seed=seed)
            text, _, reason = await collect(engine, asked)
            written = [word.strip(",;.!?") for word in text.split()]
            assert set(written[: None if reason == "stop" else -1]) <= known
            if reason == "stop":
                assert text.endswith(".") and written[-1] not in words.vocabulary.weak
            assert not begun or text.startswith(" ")

    async def test_repeated_beginnings_are_computed_once(self, engine: Engine) -> None:
        long = (("system", "You write one short sentence about the weather."), *request("x").messages[1:])
        for n in range(2):
            before = engine.counts().prefix_tokens
            await collect(engine, request(f"p{n}", messages=long, shared_messages=1, max_tokens=2))
        assert engine.counts().prefix_tokens > before


@pytest.mark.integration
async def test_a_stopped_engine_says_so_and_starts_again(tmp_path: Path) -> None:
    engine = make("xllamacpp", "demo", GenerationConfig(max_batch=1, kv_bytes=8 << 20, threads=1), tmp_path)
    with pytest.raises(EngineError, match="not started"):
        engine.health()
    for name in ("first", "again"):
        await engine.start()
        assert (await collect(engine, request(name, max_tokens=2)))[1] == 2
        await engine.stop()
        with pytest.raises(EngineError):
            await collect(engine, request("stopped"))
    await engine.stop()


@pytest.mark.parametrize("model", ["Qwen/Qwen2.5-0.5B-Instruct", "/nowhere.gguf"])
async def test_what_is_no_gguf_file_is_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        await make("xllamacpp", model, GenerationConfig(), tmp_path).start()
