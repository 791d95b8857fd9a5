import json
from pathlib import Path

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
