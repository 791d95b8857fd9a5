"""A checkpoint's ZeRO stage, which DeepSpeed pickles as a member of an enumeration."""

import pickle
from pathlib import Path

import pytest
import torch
from deepspeed.runtime.zero.config import ZeroStageEnum
from torch.serialization import safe_globals

from zeta.train.checkpoint import SAFE


class Attribute:
    """Is pickled as a call of getattr, which is how Python 3.11.0 to 3.11.3 write a member."""

    def __init__(self, owner: object, name: str) -> None:
        self._what = owner, name

    def __reduce__(self) -> tuple:
        return getattr, self._what


def read(path: Path) -> dict:
    with safe_globals(list(SAFE)):
        return torch.load(path, weights_only=True)


def test_is_read_as_either_python_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    for written in (ZeroStageEnum.weights, Attribute(ZeroStageEnum, "weights")):
        torch.save({"zero_stage": written}, path)
        assert read(path) == {"zero_stage": ZeroStageEnum.weights}


def test_no_other_attribute_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"zero_stage": Attribute(torch.Tensor, "numpy")}, path)
    with pytest.raises(pickle.UnpicklingError):
        read(path)
