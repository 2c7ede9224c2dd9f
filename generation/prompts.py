"""Versioned prompts: one YAML file per kind of text, and how a task becomes messages.

Values from outside go into the list of facts as single, cleaned lines (`facts.clean`), so that a title that says
"ignore all instructions" is only a title. The system message and the examples come first and are the same for every
task of a kind: engines compute them once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from cluster.errors import InputError
from cluster.messages import WriteTask
from generation.facts import clean, facts_of, titles

KINDS = ("pitch", "reason", "headline", "summary", "push", "email", "chat")
MAX_LIKED = 3
MAX_ITEMS = 5
MAX_CATEGORIES = 4
MAX_TURNS = 6


class Example(BaseModel):
    """A task and its answer, shown to the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    facts: list[dict[str, Any]]
    liked: list[str] = []
    ask: str = ""
    answer: str


class PromptFile(BaseModel):
    """What a file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    system: str
    examples: list[Example] = []
    shown: int = Field(default=3, ge=0)
    """So many of the examples, chosen by the task, stand in one prompt: different tasks see different ones."""
    openings: list[str] = []
    """Ways to begin, one of which is chosen by the task; the model writes on. `{liked}` and `{title}` are filled in."""
    openings_without_liked: list[str] = []
    frame: str = ""
    """Fixed text before what is generated, such as an email's subject line."""
    max_chars: int = Field(ge=20)
    max_sentences: int = Field(ge=1)
    max_tokens: int = Field(ge=8)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One task, ready for an engine. `begun` is how the answer begins, `instructions` what may not be repeated."""

    version: str
    messages: tuple[tuple[str, str], ...]
    shared_messages: int
    begun: str
    frame: str
    instructions: str
    max_chars: int
    max_sentences: int
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
    """What a text says about its prompt: kind, number, and a digest that no forgotten number can hide."""
    file = load(kind)
    digest = hashlib.sha256(file.model_dump_json().encode()).hexdigest()[:8]
    return f"{kind}-{file.version}-{digest}"


def build(task: WriteTask, attempt: int = 0) -> Prompt:
    """The prompt of a task. Another `attempt` may begin the answer in another way.

    Raises:
        InputError: the kind is unknown.
    """
    file = load(task.kind)
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
    own = titles(task.items)
    return Prompt(
        version=version(task.kind),
        messages=tuple(messages),
        shared_messages=shared,
        begun=_begin(file, task, liked, own, attempt),
        frame=file.frame.format(title=own[0] if own else "A pick"),
        instructions=system,
        max_chars=file.max_chars,
        max_sentences=file.max_sentences,
        max_tokens=file.max_tokens,
    )


def choice(task: WriteTask, salt: str, n: int) -> int:
    """A number below n that depends on the task alone: kind, items, what the person liked, seed."""
    key = "\0".join(
        (salt, task.kind, str(task.seed), *(i.item_id for i in task.items), "", *(i.item_id for i in task.liked))
    )
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) % n


def _begin(file: PromptFile, task: WriteTask, liked: list[str], own: list[str], attempt: int) -> str:
    openings = file.openings if liked else file.openings_without_liked
    if not openings or not own or task.language != "en":
        return ""
    opening = openings[(choice(task, "opening", len(openings)) + attempt) % len(openings)]
    return opening.format(
        title=own[0], liked=liked[choice(task, "liked", len(liked))] if liked else "", all_liked=_and(liked[:2])
    )


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


def _and(names: list[str]) -> str:
    return " and ".join(names)
