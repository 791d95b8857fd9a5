"""The curl line that the demo ends with asks for the answer that it showed."""

import importlib.util
import json
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

DEMO = Path(__file__).resolve().parents[4] / "examples" / "demo"
CHUNK = {"id": "1", "object": "text_completion", "created": 0, "model": "m", "usage": None,
         "choices": [{"index": 0, "text": " answer", "finish_reason": "stop", "logprobs": None}]}  # fmt: skip


@pytest.fixture
def asked() -> Iterator[tuple[str, list[dict]]]:
    """A server that answers one piece to any completion, its URL, and what it was asked."""
    bodies: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n".encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    server.server_close()


def test_curl_sends_what_the_demo_sent(
    asked: tuple[str, list[dict]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    url, bodies = asked

    @contextmanager
    def running(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(url=url, command=["zeta-server", "--model", "m"])

    spec = importlib.util.spec_from_file_location("demo", DEMO / "__main__.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    monkeypatch.setattr("zeta.serve.Server", running)
    demo.serve(tmp_path, tmp_path / "zeta-demo")

    curl = shlex.split(capsys.readouterr().out.splitlines()[-1])
    (sent,) = bodies
    assert sent.pop("stream") and sent.pop("stream_options") == {"include_usage": True}
    assert json.loads(curl[curl.index("-d") + 1]) == sent
    assert curl[:3] == ["curl", "-s", f"{url}/v1/completions"]
