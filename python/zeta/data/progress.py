"""A line on standard error that says how far the work is, how fast, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_TERMINAL_SECONDS = 0.2
_LOG_SECONDS = 10.0


class Stage:
    """One stretch of work of ``total`` bytes. Not thread-safe."""

    def __init__(self, name: str, total: int, stream: TextIO | None) -> None:
        self._name = name
        self._total = total
        self._done = 0
        self._stream = stream
        self._live = stream is not None and stream.isatty()
        self._start = self._shown = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the stage began."""
        return time.monotonic() - self._start

    def advance(self, amount: int) -> None:
        """Count ``amount`` bytes as done, and show it if it is time to."""
        self._done += amount
        now = time.monotonic()
        if now - self._shown >= (_TERMINAL_SECONDS if self._live else _LOG_SECONDS):
            self._shown = now
            self._show("\r" if self._live else "", "\x1b[K" if self._live else "\n")

    def close(self) -> None:
        """Wipe the live line."""
        if self._live and self._stream:
            print("\r\x1b[K", end="", file=self._stream, flush=True)

    def _show(self, before: str, after: str) -> None:
        rate = self._done / max(self.seconds, 1e-9)
        left = (self._total - self._done) / rate if rate else 0
        share = 100 * self._done / max(self._total, 1)
        line = f"{self._name} {share:3.0f} %  {rate / 2**20:.1f} MiB/s  {duration(left)} left"
        print(before + line, end=after, file=self._stream, flush=True)


class Progress:
    """Shows stages and notes on ``stream``; None is silent."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Stage]:
        """Show the work done inside the ``with``, ``total`` bytes of it."""
        stage = Stage(name, total, self._stream)
        try:
            yield stage
        finally:
            stage.close()

    def note(self, text: str) -> None:
        """Show a line that stays."""
        if self._stream:
            print(text, file=self._stream, flush=True)


def duration(seconds: float) -> str:
    """``1 h 02 min``, ``3 min 20 s`` or ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
