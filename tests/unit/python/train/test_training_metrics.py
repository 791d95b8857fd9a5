import json
from pathlib import Path

import pytest

from zeta.train import TrainError
from zeta.train.metrics import MetricsFile


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_resuming_drops_what_came_after_the_checkpoint_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, 0)
    for step in range(1, 8):
        first.write({"step": step, "loss": 1.0})
    first.close()
    with path.open("a") as torn:
        torn.write('{"step": 8, "lo')

    second = MetricsFile(path, 5)
    second.write({"step": 6, "loss": 2.0})
    second.close()
    assert steps(path) == [1, 2, 3, 4, 5, 6]
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_record_is_on_disk_when_written(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl", 0)
    metrics.write({"step": 1})
    assert steps(tmp_path / "metrics.jsonl") == [1]
    metrics.close()


@pytest.mark.parametrize(
    "line", ["Traceback (most recent call last):", "3", '{"loss": 1.0}', '{"step": "x"}']
)
def test_a_foreign_line_is_named_and_nothing_is_dropped(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    before = path.read_text()
    with pytest.raises(TrainError, match=f"{path}: line 2"):
        MetricsFile(path, 1)
    assert path.read_text() == before


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(TrainError, match=f"{path}: .*utf-8"):
        MetricsFile(path, 1)
