"""The engine `openvino` on the demo model's GGUF file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.errors import ConfigError, EngineError
from generation.engines import Engine, make
from generation.engines.openvino import reads
from generation.words import lexicon
from tests.generation.conftest import CONFIG
from tests.generation.engine_contract import EngineContract, collect, request


@pytest.fixture(scope="module")
def engine(models_dir: Path) -> Iterator[Engine]:
    """Started on the demo model."""
    made = make("openvino", "demo", CONFIG, models_dir)
    asyncio.run(made.start())
    yield made
    asyncio.run(made.stop())


class TestOpenVino(EngineContract):
    """The contract, and what is particular to this engine."""

    async def test_weights_are_four_bit(self, engine: Engine) -> None:
        info = engine.info()
        assert (info.quantization, info.model, info.device) == ("q4_1", "SmolLM2-135M-Instruct", "cpu")
        assert info.weight_bytes < 110e6

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
    engine = make("openvino", "demo", CONFIG.model_copy(update={"max_batch": 1}), models_dir)
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
async def test_what_it_cannot_read_is_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        await make("openvino", model, CONFIG, tmp_path).start()


def test_it_reads_folders_of_openvino(tmp_path: Path) -> None:
    assert reads("demo") and not reads(str(tmp_path))
    (tmp_path / "openvino_model.xml").touch()
    assert reads(str(tmp_path))
