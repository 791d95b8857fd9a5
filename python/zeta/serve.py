"""Start zeta-server: the command of that name in the wheel, and a server for the length of a `with` block."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType


def program() -> Path:
    """The zeta-server program: the one inside this package, else the first on PATH.

    Raises:
        FileNotFoundError: there is neither.
    """
    inside = Path(__file__).parent / "bin" / "zeta-server"
    if inside.is_file():
        return inside
    found = shutil.which("zeta-server")
    if found is None:
        raise FileNotFoundError(
            f"zeta-server is neither at {inside} nor on PATH; build it or install the wheel"
        )
    return Path(found)


def free_port(preferred: int = 0) -> int:
    """`preferred` where it is free on loopback, else a port that the system picks."""
    for port in (preferred, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


class Server:
    """A zeta-server process over one model folder; ready when the `with` block begins, drained when it ends.

    Args:
        model: Hugging Face model folder; served under the folder's name.
        port: wanted HTTP port; another is taken where it is not free.
        log: file for the server's output; a temporary one by default.
        arguments: further flags of zeta-server.
        timeout: seconds to wait until the model is loaded.

    Raises:
        RuntimeError: on entering, when the server ends or is not ready in time; says what it printed.
    """

    def __init__(
        self, model: str | Path, *, port: int = 0, log: Path | None = None,
        arguments: tuple[str, ...] = (), timeout: float = 120,
    ) -> None:  # fmt: skip
        self.model = Path(model).resolve()
        self.port = free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [
            "zeta-server", "--model", f"{self.model.name}={self.model}", "--http-address", "127.0.0.1",
            "--http-port", str(self.port), "--metrics-port", str(free_port(8002 if port else 0)), *arguments,
        ]  # fmt: skip
        self.log = log or Path(tempfile.mkstemp(prefix="zeta-server-", suffix=".log")[1])
        self._timeout = timeout

    def __enter__(self) -> Server:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(program()), *self.command[1:]], stdout=output, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Ask the server to finish what is in flight and end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"zeta-server ended with {self.process.returncode}: {self.log.read_text()[-2000:]}"
                )
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=1)
                return
            time.sleep(0.01)
        raise RuntimeError(
            f"zeta-server was not ready within {self._timeout:.0f} s: {self.log.read_text()[-2000:]}"
        )


def main() -> None:
    """The `zeta-server` command: become the program."""
    path = str(program())
    os.execv(path, [path, *sys.argv[1:]])
