"""`Writer`: the Serve deployment that owns a text engine. A thin shell round `generation.writer.TextWriter`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ray.util import metrics

from cluster.config import Settings, parse_section
from cluster.messages import EngineInfo, TextDone, TextPiece, WriteTask
from cluster.telemetry import REQUEST_ID, configure_logging
from cluster.tracing import configure_tracing, remote_step
from deployments.ahead import Ahead
from generation.config import GenerationConfig
from generation.engines import EngineCounts, make
from generation.writer import TextWriter

log = logging.getLogger("tailorbird.writer")

MODELS_FOLDER = "models"
"""Unpacked models are kept here, in the state directory."""


class Writer:
    """One replica: one engine, many texts at a time.

    Args:
        settings: all settings; `engine`, `model`, `state_dir` and `generation` are used.
    """

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Serve awaits it
        configure_logging(settings.log_level)
        configure_tracing(settings.tracing, "writer")
        config = parse_section(GenerationConfig, settings.generation, "generation")
        self._engine = make(settings.engine, settings.model, config, settings.state_dir.resolve() / MODELS_FOLDER)
        await self._engine.start()
        self._writer = TextWriter(self._engine, config)
        self._meter = _Meter()
        self._ahead = Ahead(config.prefetch_share)

    async def write(self, task: WriteTask) -> AsyncGenerator[TextPiece | TextDone]:
        """Checked clauses, then exactly one `TextDone`. Closing the generator frees the place of the text.

        Raises (before the first piece only):
            InputError: the kind is unknown, or the dialogue is longer than the model's context.
            OverloadError: the engine's queue is full; or it is a text ahead, and there is no time for it.
        """
        if task.ahead:
            for frame in await self._ahead.write(self._write(task)):
                yield frame
            return
        with self._ahead.live():
            async with aclosing(self._write(task)) as frames:
                async for frame in frames:
                    yield frame

    async def _write(self, task: WriteTask) -> AsyncGenerator[TextPiece | TextDone]:
        begun = time.monotonic()
        first = True
        REQUEST_ID.set(task.request_id)
        span = remote_step("write", task.traceparent, task.request_id, kind=task.kind, language=task.language)
        try:
            async with aclosing(self._writer.write(task)) as frames:
                async for frame in frames:
                    if first:
                        self._meter.first.observe(time.monotonic() - begun, {"kind": task.kind})
                        span.event("first clause")
                        first = False
                    if isinstance(frame, TextDone):
                        self._meter.done(task, frame, time.monotonic() - begun, self._engine.counts())
                        span.set(source=frame.source, rules=",".join(frame.rules), tokens=frame.completion_tokens)
                    yield frame
        except BaseException as error:
            span.end(error)
            self._meter.load(self._engine.counts())
            if isinstance(error, GeneratorExit | asyncio.CancelledError):
                log.info("a text is not written further: its reader has left", extra={"text": task.request_id})
            raise
        span.end()

    async def info(self) -> EngineInfo:
        """What this replica runs on."""
        return self._engine.info()

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises: the decode thread has ended, or hangs."""
        self._engine.health()


class _Meter:
    """The metrics of a replica."""

    def __init__(self) -> None:
        seconds = [0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 60]
        self.first = metrics.Histogram(
            "tailorbird_text_first_clause_seconds", "Until the first checked clause.", seconds, ("kind",)
        )
        self._whole = metrics.Histogram("tailorbird_text_seconds", "Until the end of a text.", seconds, ("kind",))
        self._texts = metrics.Counter("tailorbird_texts", "Texts written.", ("kind", "source"))
        self._rules = metrics.Counter("tailorbird_guard_rules", "Guard rules that fired.", ("rule",))
        self._tokens = metrics.Counter("tailorbird_text_tokens", "Tokens read and written.", ("direction",))
        self._running = metrics.Gauge("tailorbird_texts_running", "Texts in the batch.")
        self._waiting = metrics.Gauge("tailorbird_texts_waiting", "Texts that wait for a place in the batch.")

    def done(self, task: WriteTask, frame: TextDone, took_s: float, counts: EngineCounts) -> None:
        """Record one text."""
        self._whole.observe(took_s, {"kind": task.kind})
        self._texts.inc(1, {"kind": task.kind, "source": frame.source})
        for rule in frame.rules:
            self._rules.inc(1, {"rule": rule})
        for direction, tokens in (("prompt", frame.prompt_tokens), ("completion", frame.completion_tokens)):
            if tokens:
                self._tokens.inc(tokens, {"direction": direction})
        self.load(counts)

    def load(self, counts: EngineCounts) -> None:
        """Record how many texts are in work, and wait."""
        self._running.set(counts.running)
        self._waiting.set(counts.waiting)
