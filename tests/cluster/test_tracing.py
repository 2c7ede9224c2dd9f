"""Traces reach a collector, whole, and cost nothing when there is none."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cluster import tracing
from cluster.sections import TracingConfig
from cluster.telemetry import REQUEST_ID, JsonFormatter
from tests.collector import Collector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = {b"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01".encode()}
UNSAMPLED = {b"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00".encode()}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector
        tracing.stop_tracing()


def test_a_request_its_steps_and_work_elsewhere_are_one_trace(collector: Collector) -> None:
    tracing.configure_tracing(TracingConfig(endpoint=collector.url, sample=0.0), "ingress")
    request = tracing.begin_request(SAMPLED, "r1")
    assert request is not None
    with tracing.step("rank", n=10):
        carried = tracing.traceparent()
    work = tracing.remote_step("write", carried, kind="pitch")
    tracing.remote_step("write", "").end()
    work.event("first clause")
    work.set(source="generated")
    work.end()
    request.end("/v1/content", "POST", 200)
    assert tracing.traceparent() == ""  # nothing is current any more
    tracing.stop_tracing()

    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"POST /v1/content", "rank", "write"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert spans["POST /v1/content"].parent_span_id.hex() == "00f067aa0ba902b7"
    assert spans["rank"].parent_span_id == spans["POST /v1/content"].span_id
    assert spans["write"].parent_span_id == spans["rank"].span_id
    attributes = {pair.key: pair.value for pair in spans["POST /v1/content"].attributes}
    assert attributes["tailorbird.request_id"].string_value == "r1"
    assert attributes["http.response.status_code"].int_value == 200
    assert [event.name for event in spans["write"].events] == ["first clause"]


def test_work_that_several_asked_for_is_in_the_trace_of_each(collector: Collector) -> None:
    tracing.configure_tracing(TracingConfig(endpoint=collector.url, sample=1.0), "ingress")
    given = []
    for number in range(2):
        token = REQUEST_ID.set(f"r{number}")
        request = tracing.begin_request({}, f"r{number}")
        assert request is not None
        given.append(tracing.carried())
        request.end("/v1/events", "POST", 202)
        REQUEST_ID.reset(token)
    assert tracing.carried() is None
    with tracing.remote_steps("session.append", [one for one in given if one], requests=5):
        pass
    with pytest.raises(ValueError, match="no"), tracing.remote_steps("session.views", [given[0]]):  # type: ignore[list-item]
        raise ValueError("no")
    tracing.stop_tracing()
    appends = [span for span in collector.spans if span.name == "session.append"]
    roots = {span.trace_id: span for span in collector.spans if span.name == "POST /v1/events"}
    assert len(appends) == 2 and {span.trace_id for span in appends} == set(roots)
    for span in appends:
        assert span.parent_span_id == roots[span.trace_id].span_id
        ids = [
            next(pair.value.string_value for pair in one.attributes if pair.key == "tailorbird.request_id")
            for one in (span, roots[span.trace_id])
        ]
        assert ids[0] == ids[1] != ""
    assert next(span.status.code for span in collector.spans if span.name == "session.views") == 2


def test_a_failed_step_and_a_failed_request_are_marked(collector: Collector) -> None:
    tracing.configure_tracing(TracingConfig(endpoint=collector.url, sample=1.0), "ingress")
    request = tracing.begin_request({}, "r2")
    assert request is not None
    with pytest.raises(ValueError, match="no"), tracing.step("rank"):
        raise ValueError("no")
    tracing.remote_step("write", tracing.traceparent()).end(TimeoutError())
    request.end("/v1/recommendations", "POST", 503)
    tracing.stop_tracing()
    assert {span.status.code for span in collector.spans} == {2}


@pytest.mark.parametrize("headers", [UNSAMPLED, {}, {b"traceparent": b"nonsense \xff"}])
def test_what_is_not_sampled_is_not_traced(collector: Collector, headers: dict[bytes, bytes]) -> None:
    tracing.configure_tracing(TracingConfig(endpoint=collector.url, sample=0.0), "ingress")
    assert tracing.begin_request(headers, "r3") is None
    with tracing.step("rank") as span:
        assert span is None
    assert tracing.traceparent() == ""
    tracing.stop_tracing()
    assert collector.spans == []


def test_a_collector_that_is_away_harms_no_request() -> None:
    tracing.configure_tracing(TracingConfig(endpoint="http://127.0.0.1:9", sample=1.0), "ingress")
    request = tracing.begin_request({}, "r4")
    assert request is not None
    request.end("/v1/events", "POST", 202)
    tracing.stop_tracing()


def test_without_an_endpoint_there_are_no_traces() -> None:
    tracing.configure_tracing(TracingConfig(), "ingress")
    assert tracing.begin_request(SAMPLED, "r5") is None
    assert tracing.remote_step("write", SAMPLED[b"traceparent"].decode()).end() is None


def test_a_log_line_carries_the_id_of_its_request() -> None:
    token = REQUEST_ID.set("r6")
    try:
        record = logging.makeLogRecord({"name": "tailorbird.http", "msg": "slow", "levelname": "WARNING", "route": "/"})
        line = json.loads(JsonFormatter().format(record))
    finally:
        REQUEST_ID.reset(token)
    told = {name: line[name] for name in ("level", "logger", "message", "request_id", "route")}
    assert told == {
        "level": "warning",
        "logger": "tailorbird.http",
        "message": "slow",
        "request_id": "r6",
        "route": "/",
    }


def test_log_lines_reach_the_process_s_own_standard_error() -> None:
    """Serve replaces `sys.stderr` in its replicas by a logger that holds lines back."""
    code = """
import io, logging, sys
sys.stderr = io.StringIO()
from cluster.telemetry import REQUEST_ID, configure_logging
configure_logging("info")
configure_logging("info")
REQUEST_ID.set("r7")
logging.getLogger("tailorbird.live").info("version %s serves", "v1")
logging.getLogger("tailorbird.live").debug("not told")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (line["message"], line["request_id"], line["level"]) == ("version v1 serves", "r7", "info")
