"""A checkpoint's ZeRO stage, which DeepSpeed pickles as a member of an enumeration."""

from pathlib import Path

import pytest
import torch
from deepspeed.runtime.zero.config import ZeroStageEnum
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from zeta.train import checkpoint  # noqa: F401  Says how the stage is pickled.


def test_is_written_by_value_where_python_would_write_getattr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python 3.11.0 to 3.11.3 would, Debian 12's among them; reading refuses getattr."""
    monkeypatch.setattr(
        ZeroStageEnum, "__reduce_ex__", lambda stage, protocol: (getattr, (ZeroStageEnum, stage.name))
    )
    path = tmp_path / "state.pt"
    torch.save({"zero_stage": ZeroStageEnum.weights}, path)
    assert get_unsafe_globals_in_checkpoint(path) == ["deepspeed.runtime.zero.config.ZeroStageEnum"]
    with safe_globals([ZeroStageEnum]):
        assert torch.load(path, weights_only=True) == {"zero_stage": ZeroStageEnum.weights}
