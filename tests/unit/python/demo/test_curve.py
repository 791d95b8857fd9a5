"""The loss curve, in the terminal and as a picture."""

import json
import struct
from pathlib import Path

import pytest

from curve import draw, read_metric, sparkline


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    records = [{"step": step, "loss": 8 / step} for step in range(1, 9)]
    records[3]["validation_loss"] = 2.5
    records[5]["validation_loss"] = None
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_reads_the_steps_that_have_a_value(metrics: Path) -> None:
    assert read_metric(metrics, "validation_loss") == ([4], [2.5])
    assert read_metric(metrics, "loss")[0] == list(range(1, 9))


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ([], 60, ""),
        ([3.0], 60, "▁"),
        ([5.0, 5.0], 60, "▁▁"),
        (list(range(8)), 60, "▁▂▃▄▅▆▇█"),
        ([7, 7, 0, 0, 3, 4], 3, "█▁▅"),
    ],
)
def test_sparkline(values: list[float], width: int, bars: str) -> None:
    assert sparkline(values, width) == bars


@pytest.mark.parametrize("count", [61, 119, 1000])
def test_sparkline_is_no_wider_than_asked(count: int) -> None:
    assert len(sparkline([float(value) for value in range(count)])) == 60


def test_picture_is_a_png(metrics: Path, tmp_path: Path) -> None:
    draw(metrics, tmp_path / "loss.png")
    content = (tmp_path / "loss.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (960, 540)  # 8 × 4.5 inches at 120 dots
