"""`metrics.jsonl`: one JSON object for each logged step."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zeta.durable import replace_text
from zeta.train.errors import TrainError


class MetricsFile:
    """Appends records to a JSON-lines file, each flushed at once.

    Opened for a run that resumes from `step`, it first drops what the killed run logged after that step (and
    a last line cut short by the kill), so that the file tells one history.

    Raises:
        TrainError: names the file that cannot be read or written, here and in `write`.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        with _naming(path):
            kept = [line for number, line in _complete_lines(path) if _step(path, number, line) <= step]
            replace_text(path, "".join(kept))
            self._file = path.open("a", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        with _naming(self._path):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # What is not on disk by now has failed in `write`.
            self._file.close()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TrainError(f"{path}: {reason}") from error


def _complete_lines(path: Path) -> Iterator[tuple[int, str]]:
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        yield from ((number, line) for number, line in enumerate(lines, 1) if line.endswith("\n"))


def _step(path: Path, number: int, line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError) as error:
        raise TrainError(f"{path}: line {number} is no record of a step: remove it") from error
