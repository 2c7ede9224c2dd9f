"""The writer: from a `WriteTask` to checked text, whatever happens on the way.

1. the prompt of the task goes to the engine, with the words that may be used;
2. the stream is cut into clauses, the guard checks each, and only what passes is given out;
3. a clause that fails is written again from the last good one, while time and retries last;
4. then the text ends where its last whole sentence did, or the template writes it or its end;
5. what was accepted goes out as far as `stop` and `max_tokens` allow (`outlet`);
6. exactly one `TextDone` is the last frame, and its text is the pieces joined.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from cluster.errors import DeadlineError, EngineError, InputError, OverloadError
from cluster.messages import TextDone, TextPiece, WriteTask
from generation import prompts, templates
from generation.clauses import ClauseSplitter, is_sentence_end
from generation.config import GenerationConfig
from generation.draw import choice
from generation.engines.base import Engine, EngineRequest
from generation.facts import facts_of, facts_of_task, titles
from generation.guard import Ground, check, ground_of
from generation.lexicon import Lexicon, Phrases, is_wide, joined
from generation.outlet import Outlet
from generation.phrasing_zh import is_chinese
from generation.prompts import Prompt, written_in
from generation.recent import Recent
from generation.sentences import Segment, name_of
from generation.why import by_reasons
from generation.words import lexicon

log = logging.getLogger("tailorbird.generation")


@dataclass(slots=True)
class _Draft:
    """The text so far. `text` is what was accepted, of which `outlet` gives out what may be shown; `body` is that
    without what is fixed, as the engine sees it. `ended` says that nothing may follow, `complete` that the template
    need not. `target` is how the sentence in work begins, `segment_start` where in `body`."""

    outlet: Outlet
    text: str = ""
    body: str = ""
    rules: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    complete: bool = False
    ended: bool = False
    segment_start: int = 0
    target: str = ""

    def give(self, piece: str) -> str:
        """Accept a piece; what can be shown now."""
        self.text += piece
        shown = self.outlet.feed(piece)
        self.ended = self.ended or self.outlet.ended is not None
        return shown


class TextWriter:
    """Writes texts on one engine; safe to use by many at a time.

    All that it holds between tasks are the pairs of words of the last texts, which a text without a `seed` avoids.
    """

    def __init__(self, engine: Engine, config: GenerationConfig) -> None:
        self._engine = engine
        self._config = config
        self._recent = Recent()

    async def write(self, task: WriteTask) -> AsyncGenerator[TextPiece | TextDone]:
        """Write one text.

        Raises (before the first piece only):
            InputError: the kind is unknown, or the dialogue is longer than the model's context.
            OverloadError: the engine's queue is full.
        """
        task = _narrowed(task)
        prompt = prompts.build(task, recent=self._recent_for(task))
        deadline = time.monotonic() + min(task.deadline_s, self._config.deadline_s)
        draft = _Draft(_outlet(task, self._engine.tokens_of))
        if self._model_writes(task):
            ground = ground_of(task, prompt.instructions, min(prompt.max_chars, self._limit(task)))
            async with aclosing(self._generate(task, prompt, ground, draft, deadline)) as pieces:
                async for piece in pieces:
                    yield TextPiece(piece)
        source = "generated"
        if not draft.complete:
            source = "template"
            if shown := draft.give(_ending(draft.text, task)):
                yield TextPiece(shown)
        if held := draft.outlet.close():
            yield TextPiece(held)
        self._recent.add(draft.body)
        text = draft.outlet.text
        yield TextDone(
            text=text,
            source=source,
            model=self._engine.info().model,
            prompt_version=prompt.version,
            facts=facts_of_task(task),
            rules=tuple(dict.fromkeys(draft.rules)),
            finish_reason=draft.outlet.ended or "stop",
            prompt_tokens=draft.prompt_tokens,
            completion_tokens=self._engine.tokens_of(text) if draft.body else 0,
        )

    async def _generate(
        self, task: WriteTask, prompt: Prompt, ground: Ground, draft: _Draft, deadline: float
    ) -> AsyncGenerator[str]:
        """Write one segment after the other. Retries are counted over all of them."""
        place, attempt = 0, 0
        while place < len(prompt.segments) and attempt <= self._config.retries and not draft.ended:
            request = self._request(task, prompt, place, draft, attempt, deadline)
            if request is None:
                break
            if request.max_tokens < 1:  # the beginning alone is as long as the text may be
                if shown := self._end_with(draft.target, prompt, draft):
                    yield shown
                break
            try:
                async with aclosing(self._attempt(request, prompt, ground, draft)) as pieces:
                    async for piece in pieces:
                        yield piece
            except (EngineError, DeadlineError) as error:
                log.warning("a text of kind %s ends without its engine: %s", task.kind, error)
                draft.rules.append("deadline" if isinstance(error, DeadlineError) else "engine")
                break
            except (InputError, OverloadError):
                if draft.text:
                    break
                raise
            if len(draft.body) > len(draft.target) and is_sentence_end(draft.body):
                place, draft.segment_start = place + 1, len(draft.body)
            elif not draft.ended:
                attempt += 1
                prompt = prompts.build(task, attempt, self._recent_for(task))
        draft.complete = draft.ended or (place > 0 and is_sentence_end(draft.body))
        if draft.complete and prompt.closing and not draft.ended and (shown := draft.give(joined(prompt.closing))):
            yield shown

    async def _attempt(
        self, request: EngineRequest, prompt: Prompt, ground: Ground, draft: _Draft
    ) -> AsyncGenerator[str]:
        """Stream one request until its sentence ends, or a clause fails, or the stream does.

        How a text begins is held back until the model has written a clause that belongs to it.
        """
        splitter = ClauseSplitter(ground.names)
        held = "".join(splitter.feed(request.begun[len(draft.body) :]))
        reason = "stop"
        async with aclosing(self._engine.stream(request)) as chunks:
            async for chunk in chunks:
                draft.prompt_tokens = draft.prompt_tokens or chunk.prompt_tokens
                reason = chunk.finish_reason or reason
                for clause in splitter.feed(chunk.text):
                    held += clause
                    if len(draft.body) + len(held) <= len(request.begun):
                        continue
                    piece = self._accept(held, prompt, ground, draft)
                    if piece is None:
                        return
                    held = ""
                    if piece:
                        yield piece
                    if draft.ended or is_sentence_end(clause):
                        return
        rest = (held + splitter.rest()).rstrip()
        cut = reason == "length" and not is_sentence_end(rest)
        if not is_sentence_end(rest):
            rest = _whole(rest) if cut else f"{rest}."
        if len(draft.body) + len(rest) <= len(request.begun) + (not cut):
            if not cut or request.max_tokens >= prompt.max_tokens:
                draft.rules.append("empty")
                return
            rest = request.begun[len(draft.body) :]  # it is the task that leaves no room for more
        if (piece := self._accept(rest, prompt, ground, draft)) is not None:
            if cut:
                piece, draft.ended = piece + draft.outlet.close("length"), True
            if piece:
                yield piece

    def _accept(self, clause: str, prompt: Prompt, ground: Ground, draft: _Draft) -> str | None:
        """Check a clause; the text to give out for it now, or None when a rule fired."""
        clause = clause if draft.body else clause.lstrip()
        read = draft.outlet.before_stop(clause)
        rule = check(read, draft.body, ground) if read.strip() or not clause.strip() else None
        if rule is not None:
            draft.rules.append(rule)
            return None
        return self._take(clause, prompt, draft)

    def _take(self, clause: str, prompt: Prompt, draft: _Draft) -> str:
        draft.body += clause
        kept = clause.rstrip(".") if not prompt.full_stop and is_sentence_end(clause) else clause
        shown = draft.give(kept if draft.text else prompt.frame + kept)
        draft.ended = draft.ended or kept != clause
        return shown

    def _end_with(self, target: str, prompt: Prompt, draft: _Draft) -> str:
        """End a text with as much of how its next sentence begins as there is room for."""
        shown = self._take(target[len(draft.body) :] if target.startswith(draft.body) else "", prompt, draft)
        draft.ended = True
        return shown + draft.outlet.close("length")

    def _request(
        self, task: WriteTask, prompt: Prompt, place: int, draft: _Draft, attempt: int, deadline: float
    ) -> EngineRequest | None:
        """What to ask the engine for next; None where there is no time. It may leave no token to write."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            draft.rules.append("deadline")
            return None
        temperature = self._config.temperature if task.temperature is None else task.temperature
        if attempt and temperature == 0:
            temperature = 0.5  # the same tokens would fail again
        seed = choice(task, "seed", 1 << 31) if task.seed is None else task.seed
        segment = prompt.segments[place]
        if len(draft.body) == draft.segment_start:
            between = "" if not draft.body or is_chinese(task.language) else " "
            draft.target = f"{draft.body}{between}{segment.begun}"
        begun = draft.target if draft.target.startswith(draft.body) else draft.body
        fixed = (draft.text or prompt.frame) + begun[len(draft.body) :]
        left_tokens = task.max_tokens - self._engine.tokens_of(fixed)
        return EngineRequest(
            request_id=f"{task.request_id}/{id(draft):x}/{place}/{attempt}",
            messages=prompt.messages,
            max_tokens=min(prompt.max_tokens, left_tokens),
            temperature=temperature,
            top_p=self._config.top_p,
            seed=seed + 7919 * attempt + place,
            begun=begun,
            shared_messages=prompt.shared_messages,
            lexicon=self._lexicon(task, segment),
            deadline_s=left_s,
        )

    def _lexicon(self, task: WriteTask, segment: Segment) -> Lexicon | Phrases | None:
        if self._config.vocabulary == "open" or not self._engine.constrains or not written_in(task.kind, task.language):
            return None
        if self._config.vocabulary == "phrases":
            return segment.phrases
        if task.language != "en":
            return None
        facts = [facts_of(task.items[item]) for item in segment.items]
        return lexicon(facts, titles(task.liked), segment.begun)

    def _model_writes(self, task: WriteTask) -> bool:
        writes = prompts.model_writes(task.kind, task.language, self._config, constrains=self._engine.constrains)
        return writes and bool(titles(task.items))

    def _recent_for(self, task: WriteTask) -> Recent | None:
        return self._recent if task.seed is None else None

    def _limit(self, task: WriteTask) -> int:
        return 4 * self._config.max_chars if task.kind == "chat" else self._config.max_chars


def template_text(task: WriteTask, given: str = "") -> tuple[TextPiece | TextDone, ...]:
    """The frames that end a text without an engine, for callers that reach no writer; one where nothing is missing.

    Args:
        given: what a writer gave out before it was lost: the template writes its end.
    """
    task = _narrowed(task)
    ending, reason = templates.within(_ending(given, task), given, task.language, task.max_tokens, task.stop)
    done = TextDone(
        given + ending,
        "template",
        "template",
        prompts.version(task.kind),
        facts_of_task(task),
        ("unavailable",),
        finish_reason=reason,
    )
    return (TextPiece(ending), done) if ending else (done,)


def _narrowed(task: WriteTask) -> WriteTask:
    """A text about one item sees no other, and one that gives reasons no like that is none."""
    task = by_reasons(task)
    return task if task.kind in ("summary", "chat") else replace(task, items=task.items[:1])


def _whole(text: str) -> str:
    """A text that was cut off, without its last word, which may be half a word. Chinese has none to leave out."""
    return text.rstrip() if is_wide(text[-1:]) else text.rsplit(" ", 1)[0].rstrip(" ,;:") if " " in text else ""


def _ending(text: str, task: WriteTask) -> str:
    """What the template adds to what was given out already: everything, items not named yet, or a sentence's end."""
    if not text:
        return templates.render(task)
    chinese = is_chinese(task.language)
    if is_sentence_end(text):
        several = task.items if task.kind in ("summary", "chat") else ()
        left = tuple(item for item in several if titles((item,)) and name_of(item, chinese) not in text)
        return ("" if chinese else " ") + templates.render(replace(task, items=left)) if left else ""
    if chinese:
        return "值得一试。" if text.rstrip().endswith(("，", "；", "：")) else "。"
    return " well worth your time." if text.rstrip().endswith((",", ";", ":")) else "."


def _outlet(task: WriteTask, count: Callable[[str], int]) -> Outlet:
    return Outlet(chinese=is_chinese(task.language), max_tokens=task.max_tokens, stop=task.stop, count=count)
