"""The writer: from a `WriteTask` to checked text, whatever happens on the way.

1. the prompt of the task goes to the engine, with the words that may be used;
2. the stream is cut into clauses, the guard checks each, and only what passes is given out;
3. a clause that fails is written again from the last good one, while time and retries last;
4. then the text ends where its last whole sentence did, or the template writes it or its end;
5. exactly one `TextDone` is the last frame, and its text is the pieces joined.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from cluster.errors import DeadlineError, EngineError, InputError
from cluster.messages import TextDone, TextPiece, WriteTask
from generation import prompts, templates
from generation.clauses import ClauseSplitter, is_sentence_end
from generation.config import GenerationConfig
from generation.engines.base import Engine, EngineRequest
from generation.facts import facts_of, facts_of_task, titles
from generation.guard import Ground, check, ground_of
from generation.lexicon import Lexicon
from generation.prompts import Prompt
from generation.words import lexicon

log = logging.getLogger("tailorbird.generation")


@dataclass(slots=True)
class _Draft:
    """The text so far. `text` is what was given out; `body` is that without the frame, as the engine sees it."""

    text: str = ""
    body: str = ""
    sentences: int = 0
    rules: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"
    complete: bool = False


class TextWriter:
    """Writes texts on one engine. Holds no state between tasks; safe to use by many at a time."""

    def __init__(self, engine: Engine, config: GenerationConfig) -> None:
        self._engine = engine
        self._config = config

    async def write(self, task: WriteTask) -> AsyncGenerator[TextPiece | TextDone]:
        """Write one text.

        Raises (before the first piece only):
            InputError: the kind is unknown, or the dialogue is longer than the model's context.
            OverloadError: the engine's queue is full.
        """
        prompt = prompts.build(task)
        deadline = time.monotonic() + min(task.deadline_s, self._config.deadline_s)
        draft = _Draft()
        if self._model_writes(task):
            ground = ground_of(task, prompt.instructions, min(prompt.max_chars, self._limit(task)))
            async for piece in self._generate(task, prompt, ground, draft, deadline):
                yield TextPiece(piece)
        source = "generated"
        if not draft.complete:
            source = "template"
            ending = templates.render(task) if not draft.text else _ending(draft.text, task.language)
            draft.text += ending
            draft.finish_reason = "stop"
            yield TextPiece(ending)
        yield TextDone(
            text=draft.text,
            source=source,
            model=self._engine.info().model,
            prompt_version=prompt.version,
            facts=facts_of_task(task),
            rules=tuple(dict.fromkeys(draft.rules)),
            finish_reason=draft.finish_reason,
            prompt_tokens=draft.prompt_tokens,
            completion_tokens=draft.completion_tokens,
        )

    async def _generate(
        self, task: WriteTask, prompt: Prompt, ground: Ground, draft: _Draft, deadline: float
    ) -> AsyncGenerator[str]:
        for attempt in range(self._config.retries + 1):
            request = self._request(task, prompt, draft, attempt, deadline)
            if request is None:
                break
            try:
                async with aclosing(self._attempt(request, prompt, ground, draft)) as pieces:
                    async for piece in pieces:
                        yield piece
            except (EngineError, DeadlineError) as error:
                log.warning("a text of kind %s ends with the template: %s", task.kind, error)
                draft.rules.append("deadline" if isinstance(error, DeadlineError) else "engine")
                break
            except InputError:
                if draft.text:
                    break
                raise
            if draft.complete:
                return
            prompt = prompts.build(task, attempt + 1)
        draft.complete = draft.complete or (bool(draft.body) and is_sentence_end(draft.body))

    async def _attempt(
        self, request: EngineRequest, prompt: Prompt, ground: Ground, draft: _Draft
    ) -> AsyncGenerator[str]:
        """Stream one request until a clause fails (then `draft.complete` stays false) or the text is whole."""
        splitter = ClauseSplitter(ground.names)
        pending = request.begun[len(draft.body) :]
        base_tokens, tokens, reason = draft.completion_tokens, 0, "stop"
        async with aclosing(self._engine.stream(request)) as chunks:
            clauses = splitter.feed(pending)
            async for chunk in chunks:
                draft.prompt_tokens = draft.prompt_tokens or chunk.prompt_tokens
                tokens = chunk.completion_tokens
                reason = chunk.finish_reason or reason
                clauses += splitter.feed(chunk.text)
                for clause in clauses:
                    piece = self._accept(clause, prompt, ground, draft)
                    if piece is None:
                        return
                    draft.completion_tokens = base_tokens + tokens
                    yield piece
                    if draft.sentences >= prompt.max_sentences:
                        draft.complete = True
                        return
                clauses = []
        rest = splitter.rest().rstrip()
        if rest and reason == "length":
            rest = _whole(rest)
        if rest:
            piece = self._accept(rest, prompt, ground, draft)
            if piece is None:
                return
            yield piece
        elif not draft.body:
            draft.rules.append("empty")
            return
        draft.completion_tokens = base_tokens + tokens
        draft.finish_reason = reason
        draft.complete = True

    def _accept(self, clause: str, prompt: Prompt, ground: Ground, draft: _Draft) -> str | None:
        """Check a clause; the text to give out for it, or None when a rule fired."""
        rule = check(clause, draft.body, ground)
        if rule is not None:
            draft.rules.append(rule)
            return None
        piece = clause if draft.text else prompt.frame + clause.lstrip()
        draft.text += piece
        draft.body += clause if draft.body else clause.lstrip()
        draft.sentences += is_sentence_end(clause)
        return piece

    def _request(
        self,
        task: WriteTask,
        prompt: Prompt,
        draft: _Draft,
        attempt: int,
        deadline: float,
    ) -> EngineRequest | None:
        left_s = deadline - time.monotonic()
        left_tokens = min(prompt.max_tokens, task.max_tokens) - draft.completion_tokens
        if left_s <= 0 or left_tokens < 1:
            draft.rules.append("deadline" if left_s <= 0 else "length")
            return None
        temperature = self._config.temperature if task.temperature is None else task.temperature
        if attempt and temperature == 0:
            temperature = 0.5  # the same tokens would fail again
        seed = prompts.choice(task, "seed", 1 << 31) if task.seed is None else task.seed
        return EngineRequest(
            request_id=f"{task.request_id}/{id(draft):x}/{attempt}",
            messages=prompt.messages,
            max_tokens=left_tokens,
            temperature=temperature,
            top_p=self._config.top_p,
            seed=seed + 7919 * attempt,
            stop=task.stop,
            begun=draft.body or prompt.begun,
            shared_messages=prompt.shared_messages,
            lexicon=self._lexicon(task, draft.body or prompt.begun),
            deadline_s=left_s,
        )

    def _lexicon(self, task: WriteTask, begun: str) -> Lexicon | None:
        if self._config.vocabulary == "open" or not self._engine.constrains or task.language != "en":
            return None
        return lexicon([facts_of(item) for item in task.items], titles(task.liked), begun)

    def _model_writes(self, task: WriteTask) -> bool:
        return task.language in self._config.languages and (bool(task.items) or task.kind == "chat")

    def _limit(self, task: WriteTask) -> int:
        return 4 * self._config.max_chars if task.kind == "chat" else self._config.max_chars


def template_text(task: WriteTask) -> tuple[TextPiece, TextDone]:
    """The frames of a text that no engine had a part in, for callers that reach no writer."""
    text = templates.render(task)
    done = TextDone(text, "template", "template", prompts.version(task.kind), facts_of_task(task))
    return TextPiece(text), done


def _whole(text: str) -> str:
    """A text that was cut off, without its last word, which may be half a word."""
    return text.rsplit(" ", 1)[0].rstrip(" ,;:") if " " in text else ""


def _ending(text: str, language: str) -> str:
    """What the template adds to a sentence that could not be finished."""
    if language.startswith("zh"):
        return "。"
    return " and well worth your time." if text.rstrip().endswith((",", ";", ":")) else "."
