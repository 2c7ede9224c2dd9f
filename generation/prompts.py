"""Versioned prompts: one YAML file per kind of text, and how a task becomes messages.

Values from outside go into the list of facts as single, cleaned lines (`facts.clean`), so that a title that says
"ignore all instructions" is only a title. The system message and the examples come first and are the same for every
task of a kind: engines compute them once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cluster.errors import InputError
from cluster.messages import Item, WriteTask
from generation import words
from generation.config import GenerationConfig
from generation.draw import Draw, choice
from generation.facts import clean, facts_of, quoted, spoken_title, titles
from generation.lexicon import Phrases, last_word
from generation.phrasing import PLACE, expand, in_common
from generation.phrasing_zh import is_chinese
from generation.phrasing_zh import name as chinese_name
from generation.recent import Recent

KINDS = ("pitch", "reason", "headline", "summary", "push", "email", "chat")
ROOM_CHARS = 30
"""So much must be left for the model after a beginning."""
MAX_LIKED = 3
MAX_ITEMS = 5
MAX_CATEGORIES = 4
MAX_TURNS = 6
SUBJECT_CHARS = 60
LONG_CHARS = 70
"""Of several titles that could be named as liked, none that is longer is taken."""
CHINESE_TOKENS = 3
"""A Chinese sentence may take so many times the tokens of an English one: a tokenizer may split its characters."""
TRIED = 8
"""Of so many sentences the one is taken that repeats least of recent texts."""
_VALUE = re.compile(r"\{\w+\}")
_EITHER = re.compile(r"\[([^\[\]]*)\]")
LOUD_TONES = frozenset(("playful", "enthusiastic"))
"""Their sentences end with an exclamation mark."""


class Example(BaseModel):
    """A task and its answer, shown to the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: list[dict[str, Any]]
    liked: list[str] = []
    ask: str = ""
    answer: str


class SegmentFile(BaseModel):
    """One sentence of a text: what it is about, and the ways to say it, one of which the task chooses.

    `{title}`, `{last}`, `{all_titles}`, `{liked}`, `{all_liked}` are filled in; from the first of the places `{pick}`,
    `{aside}`, `{short}`, `{list}` on (see `phrasing`) the sentence is the model's. `[Try|Meet]` is one of these words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: int | None = None
    """Which item it is about, from 0; all of them when left out. Without such an item the sentence is left out."""
    with_liked: list[str] = []
    """Sentences that name what the person liked."""
    alike: list[str] = []
    """More of them for an item that has something in common with that."""
    plain: list[str]
    """Sentences for when nothing is known of the person, or the others are too long."""

    @field_validator("with_liked", "alike", "plain")
    @classmethod
    def _written(cls, sentences: list[str]) -> list[str]:
        for sentence in sentences:
            if PLACE.search(sentence) is None:
                raise ValueError(f"{sentence!r} has no place for the model")
        return sentences


class ChineseFile(BaseModel):
    """The sentences of a kind in Chinese, with what is fixed around them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segments: list[SegmentFile] = Field(min_length=1)
    frames: list[str] = []
    closings: list[str] = []


class PromptFile(BaseModel):
    """What a file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    system: str
    examples: list[Example] = []
    shown: int = Field(default=3, ge=0)
    """So many of the examples, chosen by the task, stand in one prompt: different tasks see different ones."""
    segments: list[SegmentFile] = Field(min_length=1)
    frames: list[str] = []
    """Fixed texts before what is generated, such as an email's subject line, one of which the task chooses."""
    closings: list[str] = []
    """The same after it."""
    zh: ChineseFile | None = None
    """What is different in Chinese."""
    full_stop: bool = True
    """Whether a full stop stays at the end of the text."""
    max_chars: int = Field(ge=20)
    max_tokens: int = Field(ge=8)
    """For one segment."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One sentence to write: how it begins, the places of the items that it is about, and how it may go on."""

    begun: str
    items: tuple[int, ...]
    phrases: Phrases


@dataclass(frozen=True, slots=True)
class Prompt:
    """One task, ready for an engine. `instructions` are what may not be repeated."""

    version: str
    messages: tuple[tuple[str, str], ...]
    shared_messages: int
    segments: tuple[Segment, ...]
    frame: str
    closing: str
    full_stop: bool
    instructions: str
    max_chars: int
    max_tokens: int


@cache
def load(kind: str) -> PromptFile:
    """The file of a kind.

    Raises:
        InputError: there is no such kind.
    """
    if kind not in KINDS:
        raise InputError(f"kind is {clean(kind)[:40]!r}: known are {', '.join(KINDS)}", "kind")
    text = files("generation").joinpath("prompt_files", f"{kind}.yaml").read_text(encoding="utf-8")
    return PromptFile.model_validate(yaml.safe_load(text))


def version(kind: str) -> str:
    """What a text says about its prompt: kind, number, and a digest of the file and of all word lists."""
    file = load(kind)
    digest = hashlib.sha256((file.model_dump_json() + words.digest()).encode()).hexdigest()[:8]
    return f"{kind}-{file.version}-{digest}"


def written_in(kind: str, language: str) -> bool:
    """Whether there are sentences and phrases of a kind for a language."""
    return language == "en" or (is_chinese(language) and load(kind).zh is not None)


def model_writes(kind: str, language: str, config: GenerationConfig, *, constrains: bool = True) -> bool:
    """Whether the model writes a kind of text in a language, not the template.

    Args:
        kind: one of `KINDS`.
        language: as in a request, such as `en` or `zh`.
        config: says of which languages the model can, and what text is decoded from.
        constrains: whether the engine keeps to phrases.
    """
    by_phrases = config.vocabulary == "phrases" and constrains and written_in(kind, language)
    return by_phrases or language in config.languages


def build(task: WriteTask, attempt: int = 0, recent: Recent | None = None) -> Prompt:
    """The prompt of a task. Another `attempt` may begin the answer in another way.

    With `recent` texts in mind the ways to say it are chosen that repeat least of those.

    Raises:
        InputError: the kind is unknown.
    """
    file = load(task.kind)
    chinese = is_chinese(task.language)
    told = file.zh if chinese and file.zh is not None else file
    system = file.system.strip()
    messages: list[tuple[str, str]] = [("system", system)]
    first = choice(task, "examples", max(len(file.examples), 1))
    for example in (file.examples * 2)[first : first + min(file.shown, len(file.examples))]:
        messages.append(("user", _lines(example.facts, example.liked, "friendly", example.ask)))
        messages.append(("assistant", example.answer))
    shared = len(messages)
    facts = [facts_of(item) for item in task.items[:MAX_ITEMS]]
    liked = titles(task.liked)[:MAX_LIKED]
    if task.kind == "chat":
        messages += _turns(task, facts)
    else:
        messages.append(("user", _lines(facts, liked, task.tone, "")))
    return Prompt(
        version=version(task.kind),
        messages=tuple(messages),
        shared_messages=shared,
        segments=tuple(_segments(told.segments, file.max_chars, task, attempt, recent)),
        frame=_one_of(told.frames, task, "frame").format(title=_subject(task.items, chinese)),
        closing=_one_of(told.closings, task, "closing"),
        full_stop=file.full_stop,
        instructions=system,
        max_chars=file.max_chars,
        max_tokens=file.max_tokens * (CHINESE_TOKENS if chinese else 1),
    )


def _one_of(texts: list[str], task: WriteTask, name: str) -> str:
    return texts[choice(task, name, len(texts))] if texts else ""


def _subject(items: Sequence[Item], chinese: bool) -> str:
    """A title as it stands in a subject line: shortened where it is long."""
    whole = titles(items[:1])
    if not whole:
        return "A pick"
    short = shortened(whole[0], SUBJECT_CHARS)
    return name_of(items[0], True).replace(whole[0], short) if chinese else short


def shortened(title: str, most: int) -> str:
    """A title of at most so many characters, cut between words where it is longer."""
    if len(title) <= most:
        return title
    cut = title[:most]
    return f"{(cut.rsplit(' ', 1)[0] if ' ' in cut else cut[:-1]).rstrip(' ,;:-–—(')}…"


def _segments(
    sentences: list[SegmentFile], max_chars: int, task: WriteTask, attempt: int, recent: Recent | None
) -> Iterable[Segment]:
    chinese = is_chinese(task.language)
    own = [name_of(item, chinese) for item in task.items[:MAX_ITEMS] if titles((item,))]
    known = [item for item in task.liked if titles((item,))][:MAX_LIKED]
    known = [item for item in known if len(item.title) <= LONG_CHARS] or known
    liked = [name_of(item, chinese) for item in known]
    told = choice(task, "liked", len(liked)) if liked else 0
    for number, segment in enumerate(sentences):
        places = tuple(range(len(own))) if segment.item is None else (segment.item,)
        if not own or places[-1] >= len(own):
            continue
        item = task.items[places[0]]
        shared = in_common(item, known[told]) if liked else ""
        values = {
            "title": own[places[0]],
            "last": own[places[-1]],
            "all_titles": listed(own, chinese),
            "liked": liked[told] if liked else "",
            "all_liked": listed(liked[:2], chinese),
        }
        personal = [*segment.with_liked, *(segment.alike if shared else ())] if liked else []
        for sentence in chain(
            *(_turned(group, values, task, number, attempt, recent) for group in (personal, segment.plain))
        ):
            if "{last}" in sentence and len(places) == 1:
                continue
            begun, rest = _split(sentence, values, loud=task.tone in LOUD_TONES)
            room = max_chars - len(begun) - 1
            common = shared if "{liked}" in sentence else ""
            if room < ROOM_CHARS:
                continue
            if ways := expand(rest, item, common, Draw(task, number, attempt), room, recent, last_word(begun)):
                yield Segment(begun, places, Phrases(ways, recent))
                break


def _turned(
    sentences: list[str],
    values: Mapping[str, str],
    task: WriteTask,
    number: int,
    attempt: int,
    recent: Recent | None,
) -> Iterable[str]:
    """The sentences in a circle from the one that the task chooses; another attempt begins one further.

    Of the first few those come before the others that repeat less of recent texts: in words of their own, then in how
    they begin.
    """
    first = (choice(task, f"segment {number}", max(len(sentences), 1)) + attempt) % max(len(sentences), 1)
    turned, salt = sentences[first:] + sentences[:first], f"{number}/{attempt}"
    if recent is not None:
        tried = [_resolved(sentence, task, salt + again) for sentence in turned[:TRIED] for again in ("", "'")]
        begun = {sentence: _split(sentence, values, loud=False)[0] for sentence in tried}
        yield from sorted(begun, key=lambda told: (recent.repeats(_VALUE.sub("\0", told)), recent.repeats(begun[told])))
        turned = turned[TRIED:]
    for sentence in turned:
        yield _resolved(sentence, task, salt)


def _resolved(sentence: str, task: WriteTask, salt: str) -> str:
    """A sentence with one of the alternatives wherever it has some: `[Try|Meet] {title}`."""
    parts = _EITHER.split(sentence)
    for place in range(1, len(parts), 2):
        either = parts[place].split("|")
        parts[place] = either[choice(task, f"either {salt}/{place}", len(either))]
    return "".join(parts)


def _split(sentence: str, values: Mapping[str, str], *, loud: bool) -> tuple[str, str]:
    """How a sentence begins, with the values filled in, and the rest of it from its first written place on."""
    match = PLACE.search(sentence)
    assert match is not None  # checked when the file was read
    rest = sentence[match.start() :]
    if loud and rest.endswith((".", "。")):
        rest = rest[:-1] + ("!" if rest.endswith(".") else "！")
    for name, value in values.items():
        rest = rest.replace(f"{{{name}}}", value)
    return sentence[: match.start()].format(**values).rstrip(), rest


def listed(names: list[str], chinese: bool = False) -> str:
    """Names in one phrase: `A, B and C`."""
    if len(names) < 2:
        return names[0] if names else ""
    comma, last = ("、", "和") if chinese else (", ", " and ")
    return f"{comma.join(names[:-1])}{last}{names[-1]}"


def name_of(item: Item, chinese: bool) -> str:
    """A title as it stands in a sentence."""
    return chinese_name(item) if chinese else quoted(spoken_title(item.title))


def _turns(task: WriteTask, facts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The dialogue, with the retrieved items in its last message. What others call system is only what someone says."""
    turns = [("assistant" if role == "assistant" else "user", clean(text)) for role, text in task.messages[-MAX_TURNS:]]
    turns = [turn for turn in turns if turn[1]]
    while turns and turns[-1][0] == "assistant":
        turns.pop()
    ask = turns.pop()[1] if turns else ""
    return [*turns, ("user", _lines(facts, titles(task.liked)[:MAX_LIKED], task.tone, ask))]


def _lines(facts: Iterable[Mapping[str, Any]], liked: list[str], tone: str, ask: str) -> str:
    lines = []
    for one in facts:
        lines.append(f"Title: {one.get('title', 'this one')}")
        if kinds := [*one.get("categories", ()), *one.get("tags", ())][:MAX_CATEGORIES]:
            lines.append(f"Kind: {', '.join(kinds)}")
        if "people" in one:
            lines.append(f"People: {', '.join(one['people'][:2])}")
        if "description" in one:
            lines.append(f"About: {one['description'][:200]}")
    if liked:
        lines.append(f"Liked: {'; '.join(liked)}")
    if tone != "friendly":
        lines.append(f"Tone: {clean(tone)[:40]}")
    if ask:
        lines.append(f"Question: {ask}")
    return "\n".join(lines)
