"""What every engine promises, on each of them with the demo model. The tests leave it idle."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from cluster.errors import DeadlineError, EngineError, InputError, OverloadError
from generation.engines import Engine, EngineRequest, make
from generation.lexicon import Lexicon, Vocabulary
from tests.generation.conftest import CONFIG

pytestmark = pytest.mark.integration

ENGINES = ("openvino", "bitsandbytes")
FREE_S = 0.1
"""So soon after its reader has left a text gives its place back."""
MESSAGES = (("system", "You write one sentence."), ("user", "Say something about the sea."))


def request(name: str, **values: object) -> EngineRequest:
    given = {"messages": MESSAGES, "max_tokens": 16, "temperature": 0.0, **values}
    return EngineRequest(request_id=name, **given)  # type: ignore[arg-type]


async def collect(engine: Engine, asked: EngineRequest) -> tuple[str, int, str]:
    text, last = "", None
    async with aclosing(engine.stream(asked)) as chunks:
        async for chunk in chunks:
            assert last is None or last.finish_reason is None
            text, last = text + chunk.text, chunk
    assert last is not None and last.finish_reason is not None
    return text, last.completion_tokens, last.finish_reason


async def settled(engine: Engine, within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while engine.counts().running or engine.counts().waiting:
        assert time.monotonic() < end, "a place in the batch was not freed"
        await asyncio.sleep(0.01)


def assert_free_in_time(took: list[float]) -> None:
    """The least counts, since a busy machine may delay any one; on one that is overloaded time says nothing."""
    assert min(took) < FREE_S or os.getloadavg()[0] > 2 * (os.cpu_count() or 1), took


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, started: Callable[[str], Engine]) -> Engine:
    """Each engine, started."""
    return started(request.param)


async def test_info_is_complete(engine: Engine) -> None:
    info = engine.info()
    assert info.model and info.engine and info.device
    assert info.weight_bytes > 1_000_000 and info.context_tokens >= 256
    engine.health()


async def test_greedy_text_is_the_same_alone_and_in_company(engine: Engine) -> None:
    alone = await collect(engine, request("alone"))
    others = [request(f"o{n}", messages=(("user", f"Count to {n} and tell a story."),)) for n in range(3)]
    together = await asyncio.gather(collect(engine, request("same")), *(collect(engine, o) for o in others))
    assert alone[0].strip() and alone[1] == 16 and alone[2] == "length"
    assert together[0] == alone


async def test_a_seed_repeats_a_text_and_another_does_not(engine: Engine) -> None:
    asked = {"temperature": 1.0, "max_tokens": 24}
    first = await collect(engine, request("a", seed=1, **asked))
    second = await collect(engine, request("b", seed=1, **asked))
    third = await collect(engine, request("c", seed=2, **asked))
    assert first == second != third


async def test_what_was_begun_is_written_on(engine: Engine) -> None:
    text, _, _ = await collect(engine, request("begun", begun="The sea is"))
    assert not text.startswith("The sea is") and text.strip()


async def test_shared_messages_change_no_text(engine: Engine) -> None:
    plain = await collect(engine, request("plain"))
    for _ in range(2):
        assert await collect(engine, request("shared", shared_messages=1)) == plain


async def test_a_stop_string_ends_the_text_before_it(engine: Engine) -> None:
    whole, _, _ = await collect(engine, request("whole", max_tokens=24))
    stop = whole.split()[3]
    text, _, reason = await collect(engine, request("stop", max_tokens=24, stop=(stop,)))
    assert reason == "stop" and text == whole[: whole.index(stop)]


@pytest.mark.parametrize("alone", [True, False])
async def test_leaving_frees_the_place_at_once(engine: Engine, alone: bool) -> None:
    took = []
    for _ in range(4):
        cancelled = engine.counts().cancelled
        others = (
            [] if alone else [asyncio.create_task(collect(engine, request(f"c{n}", max_tokens=60))) for n in (1, 2)]
        )
        async with aclosing(engine.stream(request("left", max_tokens=200))) as chunks:
            await anext(chunks)
            began, steps = time.monotonic(), engine.counts().steps
        while engine.counts().cancelled == cancelled:
            assert time.monotonic() - began < 20
            await asyncio.sleep(0.001)
        took.append(time.monotonic() - began)
        assert engine.counts().steps - steps <= 2
        await asyncio.gather(*others)
        await settled(engine)
    assert_free_in_time(took)


async def test_leaving_while_a_long_prompt_is_read_frees_the_place_at_once(engine: Engine) -> None:
    took = []
    for turn in range(4):
        long = (("user", f"{turn} is the number of this sea. " + "The sea is blue. " * 60),)
        cancelled = engine.counts().cancelled
        reader = asyncio.create_task(collect(engine, request("left", messages=long)))
        while not engine.counts().running:
            assert not reader.done()
            await asyncio.sleep(0.001)
        reader.cancel()
        began, steps = time.monotonic(), engine.counts().steps
        while engine.counts().cancelled == cancelled:
            assert time.monotonic() - began < 20
            await asyncio.sleep(0.001)
        took.append(time.monotonic() - began)
        assert engine.counts().steps - steps <= 2
        await settled(engine)
    assert_free_in_time(took)


async def test_cancelling_from_outside_ends_the_stream(engine: Engine) -> None:
    with pytest.raises(EngineError):
        async with aclosing(engine.stream(request("gone", max_tokens=200))) as chunks:
            await anext(chunks)
            engine.cancel("gone")
            async for _ in chunks:
                pass
    engine.cancel("nobody")


async def test_a_deadline_ends_a_text(engine: Engine) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineError):
        await collect(engine, request("late", max_tokens=400, deadline_s=0.05))
    assert time.monotonic() - began < 3.0
    await settled(engine)


async def test_many_at_once_all_end(engine: Engine) -> None:
    many = 6 * (CONFIG.max_batch + CONFIG.max_queue)
    asked = [collect(engine, request(f"m{n}", max_tokens=8)) for n in range(many)]
    ends = await asyncio.gather(*asked, return_exceptions=True)
    refused = [end for end in ends if isinstance(end, OverloadError)]
    done = [end for end in ends if isinstance(end, tuple)]
    assert len(refused) + len(done) == many
    assert len(done) >= CONFIG.max_batch + CONFIG.max_queue and refused
    assert all(error.retry_after_s > 0 for error in refused)
    await settled(engine)


@pytest.mark.parametrize("wrong", [{"messages": ()}, {"max_tokens": 0}, {"messages": (("user", "sea " * 20_000),)}])
async def test_what_cannot_be_done_is_refused_and_harms_nobody(engine: Engine, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        await collect(engine, request("wrong", **wrong))
    assert (await collect(engine, request("after")))[1] == 16


async def test_odd_prompts_are_answered(engine: Engine) -> None:
    for text in ("", "\x00\x01", "海" * 50, "<|im_end|>", "🦜" * 20):
        assert (await collect(engine, request("odd", messages=(("user", text),), max_tokens=4)))[1] >= 1


async def test_long_prompts_are_read_in_chunks(engine: Engine) -> None:
    text, _, _ = await collect(engine, request("long", messages=(("user", "The sea is blue. " * 40),), max_tokens=4))
    assert text


async def test_weights_are_four_bit(engine: Engine) -> None:
    info = engine.info()
    assert info.model == "SmolLM2-135M-Instruct" and info.quantization in ("nf4", "q4_1")
    assert info.weight_bytes < 140e6  # bfloat16 would take 269 MB; embeddings have 16 bits, the output layer 8


async def test_a_lexicon_is_kept(engine: Engine) -> None:
    words = Lexicon(
        Vocabulary(frozenset(("a", "calm", "film", "about", "the", "sea")), frozenset(("It",))), names=("Babe",)
    )
    text, _, _ = await collect(engine, request("closed", max_tokens=24, lexicon=words, begun="Babe is a"))
    assert {word.strip(",;.!?") for word in text.split()} <= {*words.vocabulary.words, "It", "Babe"}


async def test_what_a_lexicon_leaves_no_choice_about_costs_no_step(engine: Engine) -> None:
    only = Lexicon(Vocabulary(frozenset(("extraordinarily",)), frozenset()))
    before = engine.counts()
    forced, steps = before.forced_tokens, before.steps
    text, tokens, _ = await collect(engine, request("forced", max_tokens=24, lexicon=only, begun="The sea is"))
    assert "extraordinarily" in text
    assert engine.counts().forced_tokens > forced
    assert engine.counts().steps - steps <= tokens + 1 - (engine.counts().forced_tokens - forced)


async def test_repeated_beginnings_are_computed_once(engine: Engine) -> None:
    long = (("system", "You write one short sentence about the weather."), *request("x").messages[1:])
    for n in range(2):
        before = engine.counts().prefix_tokens
        await collect(engine, request(f"p{n}", messages=long, shared_messages=1, max_tokens=2))
    assert engine.counts().prefix_tokens >= before + 10


@pytest.mark.parametrize("name", ENGINES)
async def test_a_stopped_engine_says_so_and_starts_again(name: str, models_dir: Path) -> None:
    engine = make(
        name, "demo", CONFIG.model_copy(update={"max_batch": 1, "kv_bytes": 8 << 20, "threads": 1}), models_dir
    )
    with pytest.raises(EngineError, match="not started"):
        engine.health()
    for turn in ("first", "again"):
        await engine.start()
        assert (await collect(engine, request(turn, max_tokens=2)))[1] == 2
        await engine.stop()
        with pytest.raises(EngineError):
            await collect(engine, request("stopped"))
    await engine.stop()
