"""Versioned prompts: one YAML file per kind of text, and how a task becomes messages.

Values from outside go into the list of facts as single, cleaned lines (`facts.clean`), so that a title that says
"ignore all instructions" is only a title. The system message and the examples come first and are the same for every
task of a kind: engines compute them once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from cluster.errors import InputError
from cluster.messages import Item, WriteTask
from generation import words
from generation.config import GenerationConfig
from generation.draw import choice
from generation.facts import clean, facts_of, titles
from generation.phrasing_zh import is_chinese
from generation.profile import is_cheerful, profile_of
from generation.recent import Recent
from generation.sentences import MAX_ITEMS, MAX_LIKED, Segment, SegmentFile, name_of, segments_of
from generation.why import by_reasons

KINDS = ("pitch", "reason", "headline", "summary", "push", "email", "chat")
MAX_CATEGORIES = 4
MAX_TURNS = 6
SUBJECT_CHARS = 60
CHINESE_TOKENS = 3
"""A Chinese sentence may take so many times the tokens of an English one: a tokenizer may split its characters."""


class Example(BaseModel):
    """A task and its answer, shown to the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: list[dict[str, Any]]
    liked: list[str] = []
    ask: str = ""
    answer: str


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
    task, file = by_reasons(task), load(task.kind)
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
        segments=tuple(segments_of(told.segments, file.max_chars, task, attempt, recent)),
        frame=_one_of(told.frames, task, "frame").format(title=_subject(task.items, chinese)),
        closing=_closing(told.closings, task, chinese),
        full_stop=file.full_stop,
        instructions=system,
        max_chars=file.max_chars,
        max_tokens=file.max_tokens * (CHINESE_TOKENS if chinese else 1),
    )


def _closing(texts: list[str], task: WriteTask, chinese: bool) -> str:
    if texts and task.items and profile_of(task.items[0]).grave:
        texts = [text for text in texts if not is_cheerful(text, chinese=chinese)]
    return _one_of(texts, task, "closing")


def _one_of(texts: list[str], task: WriteTask, name: str) -> str:
    return texts[choice(task, name, len(texts))] if texts else ""


def _subject(items: Sequence[Item], chinese: bool) -> str:
    """A title as it stands in a subject line, in its quotation marks: shortened where it is long."""
    whole = titles(items[:1])
    if not whole:
        return "A pick"
    return name_of(items[0], chinese).replace(whole[0], shortened(whole[0], SUBJECT_CHARS))


def shortened(title: str, most: int) -> str:
    """A title of at most so many characters, cut between words where it is longer."""
    if len(title) <= most:
        return title
    cut = title[:most]
    return f"{(cut.rsplit(' ', 1)[0] if ' ' in cut else cut[:-1]).rstrip(' ,;:-–—(')}…"


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
