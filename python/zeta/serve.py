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
from typing import IO


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


def free_ports(*preferred: int) -> list[int]:
    """For each of `preferred` that port where it is free on loopback, else one that the system picks.

    All are held until the last is found, so they differ.
    """
    with contextlib.ExitStack() as held:
        return [_bind(held.enter_context(socket.socket()), port) for port in preferred]


def _bind(probe: socket.socket, preferred: int) -> int:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", preferred))
    except OSError:
        probe.bind(("127.0.0.1", 0))
    probe.listen()  # SO_REUSEADDR lets two sockets have one port until either listens
    return int(probe.getsockname()[1])


class Server:
    """A zeta-server process over one model folder; ready when the `with` block begins, drained when it ends.

    Args:
        model: Hugging Face model folder; served under the folder's name.
        port: wanted HTTP port; another is taken where it is not free.
        log: file for the server's output; by default it only serves to say why a start failed.
        arguments: further flags of zeta-server.
        timeout: seconds to wait until the model is loaded.
        stop_timeout: seconds that requests in flight get to end; then the process is killed.

    Raises:
        RuntimeError: on entering, when the server ends or is not ready in time; says what it printed.
    """

    def __init__(
        self, model: str | Path, *, port: int = 0, log: Path | None = None,
        arguments: tuple[str, ...] = (), timeout: float = 120, stop_timeout: float = 60,
    ) -> None:  # fmt: skip
        self.model = Path(model).resolve()
        self.port, metrics_port = free_ports(port, 8002 if port else 0)
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [
            "zeta-server", "--model", f"{self.model.name}={self.model}", "--http-address", "127.0.0.1",
            "--http-port", str(self.port), "--metrics-port", str(metrics_port), "--allow-grpc", "false",
            *arguments,
        ]  # fmt: skip
        self._log, self._timeout, self._stop_timeout = log, timeout, stop_timeout

    def __enter__(self) -> Server:
        with self._log.open("w+b") if self._log else tempfile.TemporaryFile() as output:
            self.process = subprocess.Popen(
                [str(program()), *self.command[1:]], stdout=output, stderr=subprocess.STDOUT
            )
            try:
                self._wait_until_ready(output)
            except BaseException:
                self._kill()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Ask the server to finish what is in flight and end; its exit code, -9 where it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(self._stop_timeout)
        self._kill()
        return self.process.returncode

    def _kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _wait_until_ready(self, output: IO[bytes]) -> None:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"zeta-server ended with {self.process.returncode}: {_tail(output)}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=1).close()
                return
            time.sleep(0.01)
        raise RuntimeError(f"zeta-server was not ready within {self._timeout:.0f} s: {_tail(output)}")


def _tail(output: IO[bytes]) -> str:
    """The end of what was written, without moving the offset that the writing process shares."""
    size = os.fstat(output.fileno()).st_size
    return os.pread(output.fileno(), 2000, max(0, size - 2000)).decode(errors="replace")


def main() -> None:
    """The commands `zeta-server` and `tritonserver`: become the program, which goes by the name it was given."""
    os.execv(str(program()), [sys.argv[0], *sys.argv[1:]])
