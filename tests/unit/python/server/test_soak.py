"""A few seconds of the soak (tests/soak), which by command runs for ten minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from server_process import program

pytest.importorskip("tritonclient.grpc")
sys.path.append(str(Path(__file__).resolve().parents[3] / "soak"))


def test_mixed_traffic_gets_right_answers() -> None:
    import soak

    # Memory is judged by the long run: in seconds, every queue and cache still grows to its size.
    wrong = soak.soak(program(), seconds=8, seed=1)
    assert [line for line in wrong if not line.startswith("resident")] == []
