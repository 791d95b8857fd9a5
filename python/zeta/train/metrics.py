"""`metrics.jsonl`: one JSON object for each logged step."""

import json
from pathlib import Path
from typing import Any


class MetricsFile:
    """Appends records to a JSON-lines file, each flushed at once.

    Opened for a run that resumes from `step`, it first drops what the killed run logged after that step (and
    a last line cut short by the kill), so that the file tells one history.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [line for line in _complete_lines(path) if json.loads(line)["step"] <= step]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _complete_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [
        line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]
