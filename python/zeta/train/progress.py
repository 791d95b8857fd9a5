"""What a person sees while training runs."""

import os
import sys
import time
from typing import TextIO

from zeta.train.schedule import Limits

_BAR_WIDTH = 24
_SHORTEST_BAR = 8


class Progress:
    """One line that is redrawn on a terminal, and one line every `interval` seconds elsewhere.

    The redrawn line is kept narrower than the terminal: one that wraps cannot be drawn over.
    A stream that fails, a closed pipe or a full disk, is written to no more: training goes on without it. So it
    does without a stream, which is what Python makes of a closed one.
    """

    def __init__(self, limits: Limits, stream: TextIO | None = sys.stderr, interval: float = 10.0) -> None:
        self._limits = limits
        self._stream = stream
        self._terminal = stream is not None and stream.isatty()
        self._interval = interval
        self._next_line = 0.0
        self._begin: tuple[float, float] | None = None

    def update(self, step: int, seconds: float, loss: float, lr: float, tokens_per_second: float) -> None:
        """Shows the state after `step`; `seconds` is the training time so far, resumed runs included."""
        now = time.monotonic()
        if self._stream is None or (not self._terminal and now < self._next_line):
            return
        self._next_line = now + self._interval
        done = self._limits.progress(step, seconds)
        text = (
            f"step {step}{self._of_steps()} {done:4.0%} | loss {loss:.4f} | lr {lr:.2e} | "
            f"{tokens_per_second:,.0f} tok/s | {_clock(self._time_left(done, now))} left"
        )
        if self._terminal:
            room = _columns(self._stream) - 1
            self._write("\r\x1b[K" + (_bar(done, room - len(text)) + text)[:room])
        else:
            self._write(text + "\n")

    def note(self, text: str) -> None:
        """Prints a line of its own, above the bar."""
        self._write(("\r\x1b[K" if self._terminal else "") + text + "\n")

    def close(self) -> None:
        if self._terminal:
            self._write("\n")

    def _write(self, text: str) -> None:
        try:
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        except OSError:
            self._stream = None

    def _of_steps(self) -> str:
        return f"/{self._limits.steps}" if self._limits.steps is not None else ""

    def _time_left(self, done: float, now: float) -> float | None:
        """Extrapolates from the progress made since the first update."""
        if self._begin is None:
            self._begin = (done, now)
        gained = done - self._begin[0]
        return (now - self._begin[1]) * (1.0 - done) / gained if gained > 0 else None


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def _bar(done: float, room: int) -> str:
    """A bar and a space in `room` columns; nothing where that is too short to say anything."""
    width = min(_BAR_WIDTH, room - 3)
    if width < _SHORTEST_BAR:
        return ""
    filled = round(done * width)
    return f"[{'█' * filled}{' ' * (width - filled)}] "


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
