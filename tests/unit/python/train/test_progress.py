import contextlib
import fcntl
import io
import os
import pty
import struct
import termios

import pytest

from zeta.train.progress import Progress
from zeta.train.schedule import Limits


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_prints_plain_lines_at_intervals_off_a_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(Limits(200, None), stream, interval=3600.0)
    for step in (1, 2, 100):
        progress.update(step, 1.0, 2.5, 1e-3, 12345.0)
    progress.note("a note")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("step 1/200   0% | loss 2.5000 | lr 1.00e-03 | 12,345 tok/s | --:-- left")
    assert lines[1] == "a note"


def test_redraws_one_line_on_a_terminal() -> None:
    stream = Terminal()
    progress = Progress(Limits(None, 60.0), stream)
    progress.update(1, 0.0, 2.5, 1e-3, 1.0)
    progress.update(2, 30.0, 2.5, 1e-3, 1.0)
    assert "\n" not in stream.getvalue()
    last = stream.getvalue().split("\r")[-1]
    assert "50%" in last and "00:00 left" in last


def test_a_closed_screen_does_not_end_training() -> None:
    progress = Progress(Limits(1, None), None)
    progress.note("note")
    progress.update(1, 1.0, 2.0, 1e-3, 10.0)
    progress.close()


@pytest.mark.parametrize(("columns", "bar"), [(40, False), (60, False), (80, False), (90, True), (120, True)])
def test_the_line_is_narrower_than_the_terminal(columns: int, bar: bool) -> None:
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with open(terminal, "w") as stream:
        progress = Progress(Limits(100_000, None), stream)
        progress.update(50_000, 1.0, 2.5, 1e-3, 12345.0)
        line = os.read(screen, 65536).decode().removeprefix("\r\x1b[K")
    os.close(screen)
    assert "step 50000/100000  50%" in line
    assert line.startswith("[█") == bar
    assert len(line) < columns


def test_a_full_disk_behind_the_screen_does_not_end_training() -> None:
    with open("/dev/full", "w", buffering=1) as full:
        progress = Progress(Limits(200, None), full, interval=0.0)
        for step in (1, 2):
            progress.update(step, 1.0, 2.5, 1e-3, 12345.0)
        progress.note("a note")
        progress.close()
        with contextlib.suppress(OSError):
            full.close()
