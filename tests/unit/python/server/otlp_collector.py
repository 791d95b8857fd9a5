"""A collector of OpenTelemetry spans: a real HTTP server that reads them with OpenTelemetry's own messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """`requests` that were taken, in order; `failures` are statuses for the next requests instead."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.failures: list[int] = []
        self.refused = 0
        self.closed = threading.Event()  # set: requests are answered at once
        self.closed.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.closed.wait(60)
                status = 200 if self.path == "/v1/traces" else 404
                if self.headers["Content-Type"] != "application/x-protobuf":
                    status = 415
                if status == 200 and collector.failures:
                    status = collector.failures.pop(0)
                    collector.refused += 1
                elif status == 200:
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    @property
    def spans(self) -> list[Span]:
        found = [scope for r in self.requests for one in r.resource_spans for scope in one.scope_spans]
        return [span for scope in found for span in scope.spans]

    def resource(self) -> dict[str, str]:
        attributes = self.requests[0].resource_spans[0].resource.attributes
        return {attribute.key: attribute.value.string_value for attribute in attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    """Listens until the `with` ends."""
    running = Collector()
    thread = threading.Thread(target=running.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.closed.set()
        running.server.shutdown()
        running.server.server_close()
