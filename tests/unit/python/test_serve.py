"""What zeta.serve leaves behind when a server does not start, or does not stop."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from zeta.serve import Server, free_ports

PROGRAM = """\
#!{python}
import signal, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

print("started", flush=True)
{body}
"""
SERVE = 'HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--http-port") + 1])), Ready).serve_forever()'

WriteProgram = Callable[[str], None]


@pytest.fixture
def write_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteProgram:
    """Puts a zeta-server with the given body first on PATH; temporary files go into tmp_path/temporary."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def write(body: str) -> None:
        path = tmp_path / "zeta-server"
        path.write_text(PROGRAM.format(python=sys.executable, body=body))
        path.chmod(0o755)

    return write


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_nothing_is_left_open_or_on_the_disk(write_program: WriteProgram, tmp_path: Path) -> None:
    write_program(SERVE)
    before = open_descriptors()
    with Server(tmp_path, timeout=30) as server:
        assert server.process.poll() is None
    assert server.process.returncode == -signal.SIGTERM
    assert open_descriptors() == before
    assert list((tmp_path / "temporary").iterdir()) == []


def test_log_is_kept_where_one_is_named(write_program: WriteProgram, tmp_path: Path) -> None:
    write_program(SERVE)
    with Server(tmp_path, log=tmp_path / "server.log", timeout=30) as server:
        assert server.stop() == -signal.SIGTERM
    assert (tmp_path / "server.log").read_text().startswith("started\n")


@pytest.mark.parametrize("log", [None, "server.log"])
def test_failed_start_says_what_was_printed(
    write_program: WriteProgram, tmp_path: Path, log: str | None
) -> None:
    write_program("print('x' * 3000 + 'no such model'); sys.exit(3)")
    server = Server(tmp_path, log=log and tmp_path / log, timeout=30)
    with pytest.raises(RuntimeError, match="ended with 3: x+no such model"):
        server.__enter__()


def test_a_server_that_is_never_ready_is_killed_and_reaped(
    write_program: WriteProgram, tmp_path: Path
) -> None:
    write_program("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    server = Server(tmp_path, timeout=1)
    with pytest.raises(RuntimeError, match="not ready within 1 s"):
        server.__enter__()
    assert not Path(f"/proc/{server.process.pid}").exists()


def test_a_server_that_does_not_stop_is_killed_and_reaped(
    write_program: WriteProgram, tmp_path: Path
) -> None:
    write_program(f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVE}")
    with Server(tmp_path, timeout=30, stop_timeout=0.2) as server:
        assert server.stop() == -signal.SIGKILL
    assert not Path(f"/proc/{server.process.pid}").exists()


def test_ports_differ_and_are_the_wanted_ones_where_free() -> None:
    with socket.socket() as taken, socket.socket() as spare:
        for each in (taken, spare):
            each.bind(("127.0.0.1", 0))
        taken.listen()
        busy, free = taken.getsockname()[1], spare.getsockname()[1]
        spare.close()
        ports = free_ports(free, free, busy, 0, 0)
    assert ports[0] == free
    assert len(set(ports)) == 5 and busy not in ports
