"""Traces: one span for a request, and one for each step that it takes: in the ingress, a session shard, the writer.

OpenTelemetry, sent by OTLP over HTTP to `tracing.endpoint`; off without one, and then a step costs a comparison. The
context travels as W3C `traceparent`: in the request's header, in a `WriteTask`, and beside what a session shard is
asked. A call to a shard carries many requests: each that is traced has the call as a span of its own. A request that
comes with a sampled `traceparent` is traced; of the others the share `tracing.sample`. Spans hold the request's id, and
nothing that says whom a request is about.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from cluster.sections import TracingConfig
from cluster.telemetry import REQUEST_ID

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

Value = str | int | float | bool
Carried = tuple[str, str]
"""What travels with a call for a request that is traced: its `traceparent` and its id."""

_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: Tracer | None = None
_provider: TracerProvider | None = None


def configure_tracing(config: TracingConfig, role: str) -> None:
    """Send the spans of this process to the collector; once, and only when `config` names one.

    Args:
        config: where to, and which share.
        role: the part of the system that this process is: `ingress`, `session-shard`, `writer`.
    """
    global _tracer, _provider
    if config.endpoint is None or _tracer is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    resource = Resource.create(
        {
            "service.name": config.service,
            "service.instance.id": f"{role}-{os.getpid()}",
            "tailorbird.role": role,
        }
    )
    _provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(config.sample)))
    url = f"{str(config.endpoint).rstrip('/')}/v1/traces"
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=5)))
    _tracer = _provider.get_tracer("tailorbird")


def stop_tracing() -> None:
    """Send what is left and be off again."""
    global _tracer, _provider
    if _provider is not None:
        _provider.shutdown()
    _tracer = _provider = None


class RequestSpan:
    """The span of one HTTP request: current until `end`, which names what only the end knows."""

    def __init__(self, span: Span, context: Context) -> None:
        from opentelemetry.context import attach

        self._span = span
        self._token = attach(context)

    def end(self, route: str, method: str, status: int) -> None:
        """The route's template (not the path, which can hold ids), and the status; 499 is a client that left."""
        from opentelemetry.context import detach
        from opentelemetry.trace import StatusCode

        detach(self._token)
        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.request.method", method)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def begin_request(headers: Mapping[bytes, bytes], request_id: str) -> RequestSpan | None:
    """The span of a request that begins, if it is traced. Call `end` in the same task."""
    if _tracer is None:
        return None
    from opentelemetry.trace import SpanKind, set_span_in_context

    parent = _context_of(headers.get(b"traceparent", b"").decode("latin-1"))
    attributes = {"tailorbird.request_id": request_id}
    span = _tracer.start_span("request", parent, kind=SpanKind.SERVER, attributes=attributes)
    return RequestSpan(span, set_span_in_context(span)) if span.is_recording() else None


def step(name: str, **attributes: Value) -> AbstractContextManager[Span | None]:
    """A step of the request that is traced in this task; None when none is. An error that leaves it is recorded."""
    if _tracer is None:
        return _NOTHING
    return _step(_tracer, name, attributes)


@contextmanager
def _step(tracer: Tracer, name: str, attributes: Mapping[str, Value]) -> Iterator[Span | None]:
    from opentelemetry.trace import get_current_span

    if not get_current_span().is_recording():
        yield None
        return
    with tracer.start_as_current_span(name, attributes=attributes) as span:
        yield span


def traceparent() -> str:
    """What a call takes along to another process: the current span as W3C `traceparent`; empty when none is traced."""
    if _tracer is None:
        return ""
    from opentelemetry.trace import get_current_span

    span = get_current_span()
    if not span.is_recording():
        return ""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def carried() -> Carried | None:
    """What a call takes along of the request that is traced in this task; None when none is."""
    given = traceparent()
    return (given, REQUEST_ID.get()) if given else None


class RemoteStep:
    """Work that another process asked for, as a span of its trace; without a span every call does nothing.

    Never current: the work may be a generator, whose steps run in whatever context asks for them.
    """

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def set(self, **attributes: Value) -> None:
        """Add attributes."""
        if self._span is not None:
            self._span.set_attributes(attributes)

    def event(self, name: str) -> None:
        """Note a moment."""
        if self._span is not None:
            self._span.add_event(name)

    def end(self, error: BaseException | None = None) -> None:
        """The work is done, or failed."""
        if self._span is None:
            return
        from opentelemetry.trace import StatusCode

        if error is not None:
            self._span.set_status(StatusCode.ERROR, type(error).__name__)
        self._span.end()


def remote_step(name: str, given: str, request_id: str = "", **attributes: Value) -> RemoteStep:
    """The span of work that came with this `traceparent`; none where that is empty."""
    if _tracer is None or not given:
        return RemoteStep(None)
    named: dict[str, Value] = {"tailorbird.request_id": request_id} if request_id else {}
    return RemoteStep(_tracer.start_span(name, _context_of(given), attributes=named | attributes))


@contextmanager
def remote_steps(name: str, given: Sequence[Carried], **attributes: Value) -> Iterator[None]:
    """One piece of work that several requests have asked for together: a span in the trace of each."""
    spans = [remote_step(name, parent, request_id, **attributes) for parent, request_id in given]
    try:
        yield
    except BaseException as error:
        for span in spans:
            span.end(error)
        raise
    for span in spans:
        span.end()


def _context_of(given: str) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": given}, Context())
