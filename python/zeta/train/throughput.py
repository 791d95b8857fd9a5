"""Tokens a second, over the steps alone."""

import time


class Throughput:
    """Measures the steps between two records; evaluation and saving do not count."""

    def __init__(self) -> None:
        self._tokens, self._seconds, self._begin = 0, 0.0, 0.0

    def begin_step(self) -> None:
        self._begin = time.monotonic()

    def end_step(self, tokens: int) -> None:
        self._tokens += tokens
        self._seconds += time.monotonic() - self._begin

    def rate(self) -> float:
        """Tokens a second since the last `reset`."""
        return self._tokens / self._seconds

    def reset(self) -> None:
        self._tokens, self._seconds = 0, 0.0
