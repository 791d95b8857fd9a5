"""DeepSpeed checkpoints in which one file holds whole weights: ZeRO stages 0, 1 and 2."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zeta.export.deepspeed_file import read_deepspeed_file
from zeta.export.errors import ExportError

FILE = "mp_rank_00_model_states.pt"


class ReplicatedWeights:
    """The `module` of rank 0: the very weights, in the very dtype, that the forward uses.

    The fp32 masters that stages 1 and 2 partition over the optimizer's files are not needed.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        module = read_deepspeed_file(path).get("module")
        if not isinstance(module, dict) or not all(isinstance(tensor, Tensor) for tensor in module.values()):
            raise ExportError(f"{path}: expected a `module` of tensors; this is no DeepSpeed model file")
        self._tensors: dict[str, Tensor] = module

    @property
    def shapes(self) -> dict[str, torch.Size]:
        return {name: tensor.shape for name, tensor in self._tensors.items()}

    def load(self, name: str) -> Tensor:
        return self._tensors[name]
