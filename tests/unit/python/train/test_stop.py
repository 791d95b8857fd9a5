import signal
import subprocess
import sys

import psutil
import pytest

from zeta.train import stop
from zeta.train.arguments import parse_arguments


@pytest.fixture(autouse=True)
def handlers() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_the_end_of_the_deepspeed_command_is_a_hang_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as command:
        monkeypatch.setattr(stop, "_runner_process", lambda: psutil.Process(command.pid))
        request = stop.StopRequest()
        assert request.reason() is None
        command.communicate(b"\n")
    assert request.reason() is signal.SIGHUP


def test_a_terminal_that_closes_stops_a_run_but_not_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    request = stop.StopRequest()
    signal.raise_signal(signal.SIGHUP)
    assert request.reason() is signal.SIGHUP
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    under_nohup = stop.StopRequest()
    signal.raise_signal(signal.SIGHUP)
    assert under_nohup.reason() is None


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    text = capsys.readouterr().out
    for code in ("143 by SIGTERM", "130 by SIGINT", "129 by the end"):
        assert code in text
