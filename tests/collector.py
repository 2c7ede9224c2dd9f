"""A collector of traces for tests: takes OTLP over HTTP on a port of its own and keeps the spans."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """`with Collector() as collector:`; spans that arrived are in `spans`."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.roles: dict[bytes, str] = {}
        """The role of the process that a span (by its id) came from."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    collector._take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, enough: Callable[[list[Span]], bool], timeout_s: float = 15.0) -> list[Span]:
        """The spans, as soon as they are enough."""
        end = time.monotonic() + timeout_s
        while not enough(self.spans):
            assert time.monotonic() < end, f"only {[span.name for span in self.spans]} arrived"
            time.sleep(0.05)
        return list(self.spans)

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            named = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.roles[span.span_id] = named["tailorbird.role"]
                    self.spans.append(span)
