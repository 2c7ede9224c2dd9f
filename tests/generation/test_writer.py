"""The writer ends every text once, with its pieces joined, whatever the engine does."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Callable
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import DeadlineError, EngineError, InputError, OverloadError
from cluster.messages import EngineInfo, TextDone, TextPiece, WriteTask
from generation import templates
from generation.config import GenerationConfig
from generation.engines import Chunk, Engine, EngineCounts, EngineRequest
from generation.guard import check, ground_of
from generation.lexicon import Lexicon, Phrases
from generation.outlet import Outlet
from generation.prompts import KINDS
from generation.writer import TextWriter, _ending, _whole, template_text
from tests.generation.catalogue import ALIEN, BABE, EMPTY, FATHER, JOKER, LAMP, task
from tests.generation.conftest import CONFIG

Script = Callable[[EngineRequest], list[str | Exception]]


class ScriptedEngine:
    """An engine that says what it is told to, faults included, which no real engine does on demand."""

    constrains = False

    def __init__(self, script: Script, pause_s: float = 0.0) -> None:
        self.script, self.pause_s = script, pause_s
        self.requests: list[EngineRequest] = []
        self.open = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def health(self) -> None: ...

    def cancel(self, request_id: str) -> None: ...

    def counts(self) -> EngineCounts:
        return EngineCounts()

    def tokens_of(self, text: str) -> int:
        return len(text.split())

    def info(self) -> EngineInfo:
        return EngineInfo("scripted", "script", "none", 0, "cpu", 1000)

    async def stream(self, request: EngineRequest) -> AsyncGenerator[Chunk]:
        self.requests.append(request)
        self.open += 1
        try:
            for number, part in enumerate(self.script(request), 1):
                await asyncio.sleep(self.pause_s)
                if isinstance(part, Exception):
                    raise part
                yield Chunk(part, 10, number)
            yield Chunk("", 10, 9, "stop")
        finally:
            self.open -= 1


async def write(engine: Engine, made: WriteTask, config: GenerationConfig | None = None) -> tuple[list[str], TextDone]:
    frames = [frame async for frame in TextWriter(engine, config or GenerationConfig()).write(made)]
    assert isinstance(frames[-1], TextDone)
    pieces = [frame.text for frame in frames[:-1] if isinstance(frame, TextPiece)]
    assert len(pieces) == len(frames) - 1 and all(pieces)
    assert "".join(pieces) == frames[-1].text
    return pieces, frames[-1]


async def test_true_clauses_are_given_out_one_by_one() -> None:
    engine = ScriptedEngine(
        lambda _: [" lovely come", "dy for everybody, and it is worth", " your time. Nobody reads this."]
    )
    pieces, done = await write(engine, task())
    assert done.source == "generated" and done.rules == () and done.finish_reason == "stop"
    assert done.text.endswith(" lovely comedy for everybody, and it is worth your time.") and len(pieces) >= 2
    assert "Babe" in done.text and done.facts["title"] == "Babe" and done.model == "script"
    assert done.prompt_tokens == 10 and done.completion_tokens > 0
    assert engine.open == 0


async def test_a_false_clause_is_written_again_from_the_last_good_one() -> None:
    def script(request: EngineRequest) -> list[str | Exception]:
        return (
            [" lovely comedy about a little pig, it won 7 prizes."]
            if "little pig" not in request.begun
            else [" warm and kind."]
        )

    engine = ScriptedEngine(script)
    _, done = await write(engine, task())
    assert done.source == "generated" and done.rules == ("number",)
    assert engine.requests[1].begun.endswith("a little pig,") and engine.requests[0].seed != engine.requests[1].seed
    assert done.text.endswith("a little pig, warm and kind.")


async def test_the_template_takes_over_when_retries_are_spent() -> None:
    engine = ScriptedEngine(lambda _: [" film by Steven Spielberg."])
    made = task("headline")
    _, done = await write(engine, made, GenerationConfig(retries=1))
    assert done.source == "template" and done.rules == ("name",) and len(engine.requests) == 2
    assert "Spielberg" not in done.text and "Babe" in done.text


@pytest.mark.parametrize("fault", [EngineError("broken"), DeadlineError("late")])
@pytest.mark.parametrize("before", [[], [" lovely comedy for a quiet evening at home,", " and"], [" lovely"]])
async def test_an_engine_that_fails_ends_with_the_template(fault: Exception, before: list[str | Exception]) -> None:
    _, done = await write(ScriptedEngine(lambda _: [*before, fault]), task())
    assert done.source == "template" and done.text[-1] in ".!?" and "Babe" in done.text
    assert done.rules in (("engine",), ("deadline",))


@pytest.mark.parametrize("fault", [OverloadError("full"), InputError("too long", "messages")])
async def test_what_is_refused_before_the_first_piece_is_raised(fault: Exception) -> None:
    with pytest.raises(type(fault)):
        await write(ScriptedEngine(lambda _: [fault]), task())


async def test_the_deadline_of_the_task_holds() -> None:
    engine = ScriptedEngine(lambda _: [" word"] * 1000, pause_s=0.02)
    seen: list[float] = []
    real = engine.stream

    async def stream(request: EngineRequest) -> AsyncGenerator[Chunk]:
        seen.append(request.deadline_s)
        end = time.monotonic() + request.deadline_s
        async for chunk in real(request):
            if time.monotonic() > end:
                raise DeadlineError("late")
            yield chunk

    engine.stream = stream  # type: ignore[method-assign]
    began = time.monotonic()
    _, done = await write(engine, dataclasses.replace(task(), deadline_s=0.2))
    assert time.monotonic() - began < 2 and seen[0] <= 0.2
    assert done.source == "template" and "deadline" in done.rules


async def test_a_reader_who_leaves_closes_the_stream() -> None:
    engine = ScriptedEngine(lambda _: [" lovely comedy for everybody at home, and more, and more"] * 50)
    frames = TextWriter(engine, GenerationConfig()).write(task())
    await anext(frames)
    assert engine.open == 1
    await frames.aclose()
    assert engine.open == 0


async def test_a_stop_string_ends_the_text_before_it() -> None:
    engine = ScriptedEngine(lambda _: [" lovely comedy STOP more."])
    _, done = await write(engine, task("chat", liked=(), stop=("STOP",), messages=(("user", "hi"),)))
    assert done.text.endswith(" lovely comedy ") and done.source == "generated"


async def test_tokens_that_run_out_leave_whole_words() -> None:
    class Short(ScriptedEngine):
        async def stream(self, request: EngineRequest) -> AsyncGenerator[Chunk]:
            self.requests.append(request)
            yield Chunk(" lovely and warm come", 10, request.max_tokens, "length")

    engine = Short(lambda _: [])
    _, done = await write(engine, task(max_tokens=24))
    assert done.finish_reason == "length" and done.text.endswith(" lovely and warm")
    assert engine.requests[0].max_tokens == 24 - len(engine.requests[0].begun.split())
    assert done.completion_tokens == len(done.text.split())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [(), ("not in it",)])
async def test_no_text_is_longer_than_asked_beginnings_included(kind: str, stop: tuple[str, ...]) -> None:
    engine = ScriptedEngine(lambda _: [" lovely comedy for everybody, and it is worth your time."])
    _, whole = await write(engine, task(kind, stop=stop))
    for most in range(1, 12):
        _, done = await write(engine, task(kind, max_tokens=most, stop=stop))
        assert done.finish_reason == "length" and 0 < len(done.text.split()) <= most, (most, done)
        assert whole.text.startswith(done.text) and done.completion_tokens <= most


@pytest.mark.parametrize("stop", [". ", "comedy. There", "comedy. Or", "Alien, ", "xx", "y."])
async def test_a_stop_string_is_found_across_pieces(stop: str) -> None:
    def script(request: EngineRequest) -> list[str | Exception]:
        return (
            [" tense thriller."] if "Alien" in request.begun else [" lovely one for all at home,", " a comedy", ". No."]
        )

    engine = ScriptedEngine(script)
    made = task("chat", BABE, ALIEN, liked=(), messages=(("user", "hi"),), seed=3)
    _, whole = await write(engine, made)
    assert "Alien" in whole.text and ". " in whole.text
    _, done = await write(engine, dataclasses.replace(made, stop=("never there", stop)))
    assert done.text == whole.text.partition(stop)[0] and stop not in done.text and done.finish_reason == "stop"


@given(st.text("ab. ", max_size=30), st.lists(st.integers(0, 30), max_size=5), st.lists(st.text("ab. ", max_size=4)))
def test_an_outlet_lets_out_the_text_before_a_stop_string(text: str, cuts: list[int], stops: list[str]) -> None:
    outlet = Outlet(chinese=False, max_tokens=None, stop=stops, count=len)
    ends = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    shown = "".join(outlet.feed(text[a:b]) for a, b in pairwise(ends)) + outlet.close()
    first = min((place for stop in stops if stop and (place := text.find(stop)) >= 0), default=len(text))
    assert shown == outlet.text == text[:first]


async def test_chinese_and_nameless_items_are_the_templates() -> None:
    engine = ScriptedEngine(lambda _: [EngineError("must not be asked")])
    for made in (task(language="zh"), task("pitch", EMPTY), task("push", EMPTY)):
        _, done = await write(engine, made)
        assert done.source == "template" and done.text == templates.render(made)
    assert engine.requests == []


async def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError):
        await write(ScriptedEngine(lambda _: []), task("ode"))


def test_a_text_without_any_engine() -> None:
    piece, done = template_text(task())
    assert isinstance(piece, TextPiece) and isinstance(done, TextDone)
    assert piece.text == done.text and done.source == "template" and done.facts["title"] == "Babe"


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
async def test_the_demo_model_writes_true_texts(engine: Engine, kind: str) -> None:
    made = [
        task(kind, BABE),
        task(kind, FATHER, liked=(ALIEN, BABE)),
        task(kind, LAMP, liked=()),
        task(kind, JOKER, ALIEN),
    ]
    results = await asyncio.gather(*(write(engine, one, CONFIG) for one in made))
    for one, (_, done) in zip(made, results, strict=True):
        if kind != "email":
            rule = check(done.text.split(". ")[0], "", ground_of(one, "", 1000))
            assert rule in (None, "genre"), (rule, done.text)  # several sentences at once mix the items' genres
    assert sum(done.source == "generated" for _, done in results) >= 3, [done.text for _, done in results]


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["pitch", "email", "chat"])
async def test_the_model_s_texts_keep_to_the_tokens_asked_for(engine: Engine, kind: str) -> None:
    for most, language in product((1, 4, 9, 23), ("en", "zh")):
        _, done = await write(
            engine, task(kind, FATHER, ALIEN, liked=(BABE,), max_tokens=most, language=language), CONFIG
        )
        assert engine.tokens_of(done.text) == done.completion_tokens <= most and done.finish_reason == "length", done


@pytest.mark.integration
async def test_one_item_is_written_differently_for_different_tastes(engine: Engine) -> None:
    liked = (ALIEN, FATHER, LAMP)
    texts = [(await write(engine, task("pitch", BABE, liked=(one,)), CONFIG))[1].text for one in liked]
    assert len(set(texts)) == 3
    assert all(name in text for name, text in zip(("Alien", "The Godfather", "Lumen"), texts, strict=True))


@pytest.mark.integration
async def test_the_same_seed_gives_the_same_text_and_without_one_what_was_said_is_avoided(engine: Engine) -> None:
    writer = TextWriter(engine, CONFIG)

    async def text(seed: int | None) -> str:
        done = [frame async for frame in writer.write(task(seed=seed))][-1]
        assert isinstance(done, TextDone)
        return done.text

    seeded, free = await text(7), await text(None)
    for _ in range(9):
        writer._recent.add(free)
    assert await text(7) == seeded and await text(None) != free


async def test_the_setting_says_what_the_engine_may_choose_from() -> None:
    asked = {}
    for vocabulary in ("phrases", "words", "open"):
        engine = ScriptedEngine(lambda _: [" lovely comedy."])
        engine.constrains = True
        await write(engine, task(), GenerationConfig(vocabulary=vocabulary))
        asked[vocabulary] = engine.requests[0].lexicon
    assert isinstance(asked["phrases"], Phrases) and isinstance(asked["words"], Lexicon) and asked["open"] is None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_lost_writer_s_text_goes_on_with_the_items_it_has_not_named(language: str) -> None:
    made = task("chat", BABE, ALIEN, language=language)
    given = "Why not Babe, a lovely comedy?" if language == "en" else "《Babe》怎么样？"
    end, done = template_text(made, given)
    assert isinstance(end, TextPiece) and isinstance(done, TextDone)
    assert done.text == given + end.text and done.text.count("Babe") == 1 and "Alien" in end.text
    assert end.text.startswith(" ") == (language == "en")


@pytest.mark.parametrize("kind", ["chat", "pitch", "email"])
def test_a_lost_writer_s_text_that_lacks_nothing_stays_as_it_is(kind: str) -> None:
    given = "Subject: Babe\n\nTry Babe." if kind == "email" else "Try Babe."
    (done,) = template_text(task(kind, BABE), given)
    assert isinstance(done, TextDone) and done.text == given


def test_a_chinese_text_that_is_cut_off_has_an_end() -> None:
    assert _whole("还有《Alien》，一部惊") == "还有《Alien》，一部惊"
    made = task("chat", language="zh")
    assert _ending("还有《Alien》，", made) == "值得一试。" and _ending("还有《Alien》", made) == "。"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_template_of_a_chat_heeds_max_tokens_and_stops(language: str) -> None:
    whole = task("chat", ALIEN, BABE, language=language)
    _, done = template_text(whole)
    assert isinstance(done, TextDone) and done.finish_reason == "stop" and len(done.text) > 10
    piece, cut = template_text(dataclasses.replace(whole, max_tokens=3))
    assert isinstance(piece, TextPiece) and isinstance(cut, TextDone)
    assert cut.finish_reason == "length" and cut.text == piece.text and done.text.startswith(cut.text)
    assert 0 < len(cut.text.split() if language == "en" else cut.text) <= 3
    stop = done.text[7:9]
    _, stopped = template_text(dataclasses.replace(whole, stop=("nowhere in it", stop)))
    assert isinstance(stopped, TextDone) and stopped.finish_reason == "stop"
    assert stopped.text == done.text[: done.text.index(stop)]
