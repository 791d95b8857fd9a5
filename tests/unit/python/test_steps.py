"""The lines that tools/setup draws, in a terminal of a given width."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest

STEPS = Path(__file__).parents[3] / "tools/lib/steps.sh"


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_redrawn_line_never_wraps(tmp_path: Path, columns: int) -> None:
    """One that does leaves a line behind five times a second."""
    words = f"set -euo pipefail; source {STEPS}; step 'a step' bash -c 'printf \"%0300d\\n\" 0; sleep 0.5'"
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    subprocess.run(["bash", "-c", words], cwd=tmp_path, stdout=terminal, check=True, timeout=60)
    os.close(terminal)
    drawn = [re.sub(r"\x1b\[K", "", line) for line in os.read(screen, 65536).decode().split("\r")]
    os.close(screen)
    assert max(map(len, drawn)) == columns - 1
    assert any("✓ a step" in line for line in drawn)


def test_without_a_terminal_a_step_is_one_line(tmp_path: Path) -> None:
    """As in CI, under the options that tools/setup sets."""
    words = f"set -euo pipefail; source {STEPS}; step 'a step' true; finish"
    done = subprocess.run(
        ["bash", "-c", words],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    first, last = done.stdout.decode().splitlines()
    assert re.fullmatch(r" +✓ a step +[01]s", first)
    assert re.fullmatch(r" +ready in [01]s", last)
