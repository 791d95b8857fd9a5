"""zeta-server as a process, and model repositories for it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

PATIENCE = 30.0  # seconds for anything to happen on a busy machine


def program() -> Path:
    """The built zeta-server: beside the libraries that ZETA_LIBRARY_DIR names, else of the release preset."""
    library_dir = os.environ.get("ZETA_LIBRARY_DIR")
    root = Path(__file__).resolve().parents[4]
    build = Path(library_dir).parent if library_dir else root / "build/release"
    path = build / "bin/zeta-server"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    return path


def write_model(repository: Path, name: str, settings: dict[str, object]) -> None:
    """Add an echo model to a repository in Triton's layout."""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text('backend: "echo"\n')
    (repository / name / "1/echo.json").write_text(json.dumps(settings))


@dataclass
class Server:
    """A running server; `log` is what it wrote so far."""

    process: subprocess.Popen[bytes]
    log_path: Path
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"not in {PATIENCE} s: {what}\n{self.log}"
            time.sleep(0.01)

    def _listening(self) -> bool:
        found = re.findall(r"listening service=(\w+) address=\S+ port=(\d+)\n", self.log)
        self.ports = {service: int(port) for service, port in found}
        exited = self.process.poll()
        assert exited is None, f"exited with {exited}:\n{self.log}"
        return {"http", "metrics", "grpc"} <= self.ports.keys()

    def wait_live(self) -> None:
        self.wait_until(self._listening, "all ports are listening")

    def wait_ready(self) -> None:
        self.wait_live()
        self.wait_until(lambda: httpx.get(self.url + "/v2/health/ready").status_code == 200, "ready")

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self.ports['grpc']}"

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, `name{labels}` to value."""
        text = httpx.get(f"http://127.0.0.1:{self.ports['metrics']}/metrics").text
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


StartServer = Callable[..., Server]


@contextmanager
def serving(folder: Path, *arguments: str | Path) -> Iterator[Server]:
    """A ready server over `folder`/models on free ports; it must end well when the block does."""
    log = folder / "server.log"
    command = [program(), "--model-repository", folder / "models", "--http-address", "127.0.0.1", *arguments]
    for service in ("http", "grpc", "metrics"):
        command += [f"--{service}-port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen([str(word) for word in command], stdout=output, stderr=output)
    running = Server(process, log)
    try:
        running.wait_ready()
        yield running
        assert running.stop() == 0, running.log
    finally:
        process.kill()
        process.wait()


MODELS: dict[str, dict[str, object]] = {
    "identity": {"kind": "identity", "shape": [-1, 2]},
    "integers": {"kind": "identity", "datatype": "INT8"},
    "strings": {"kind": "identity", "datatype": "BYTES"},
    "halves": {"kind": "identity", "datatype": "FP16"},
    "brains": {"kind": "identity", "datatype": "BF16"},
    "repeat": {"kind": "repeat", "times": 3},
    "many": {"kind": "repeat", "times": 20_000, "datatype": "BYTES"},
    "text": {"kind": "text", "context": 64},
    "slow": {"kind": "text", "delay_ms": 50, "max_in_flight": 4},
}
