"""DeepSpeed ZeRO-3 checkpoints: each rank's files hold its part of every weight.

Rank r of R writes `zero_pp_rank_r_mp_rank_00_model_states.pt` (names, shapes, parts of frozen weights) and
`[bf16_]zero_pp_rank_r_mp_rank_00_optim_states.pt` (parts of the fp32 masters). A weight of n elements is cut
into R parts of ⌈n/R⌉, the last one padded. Weights come in groups: the parts of group i's weights lie one
after another, in the order of `param_shapes[i]`, in flat buffer i.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zeta.export.deepspeed_file import read_deepspeed_file
from zeta.export.errors import ExportError

MODEL_PATTERN = "zero_pp_rank_*_mp_rank_*_model_states.pt"
OPTIMIZER_PATTERN = "*zero_pp_rank_*_mp_rank_*_optim_states.pt"

_MODEL_KEYS = (
    "module",
    "buffer_names",
    "param_shapes",
    "frozen_param_shapes",
    "frozen_param_fragments",
    "shared_params",
)


@dataclass(frozen=True)
class _Part:
    """Where, in every rank, the part of one weight lies."""

    group: int
    offset: int
    length: int


class Zero3Weights:
    """Full tensors, gathered one at a time from the files of all ranks, however many trained.

    Raises:
        ExportError: a rank's file is missing or truncated, or the files do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._flat: list[list[Tensor]] = [state["fp32_flat_groups"] for state in self._read_optimizers()]
        models = [self._read_model(rank) for rank in range(len(self._flat))]
        self._frozen: list[dict[str, Tensor]] = [model["frozen_param_fragments"] or {} for model in models]
        self._buffers: dict[str, Tensor] = {
            name: models[0]["module"][name] for name in models[0]["buffer_names"]
        }
        self._shapes: dict[str, torch.Size] = dict(models[0]["frozen_param_shapes"] or {})
        self._parts = self._locate(models[0]["param_shapes"])
        self._tied: dict[str, str] = dict(models[0]["shared_params"])

    @property
    def shapes(self) -> dict[str, torch.Size]:
        shapes = self._shapes | {name: tensor.shape for name, tensor in self._buffers.items()}
        return shapes | {name: shapes[owner] for name, owner in self._tied.items()}

    def load(self, name: str) -> Tensor:
        name = self._tied.get(name, name)
        if name in self._buffers:
            return self._buffers[name]
        shape = self._shapes[name]
        return torch.cat(self._pieces(name))[: shape.numel()].view(shape)

    def _pieces(self, name: str) -> list[Tensor]:
        if name not in self._parts:
            return [frozen[name].flatten() for frozen in self._frozen]
        part = self._parts[name]
        return [flat[part.group].narrow(0, part.offset, part.length) for flat in self._flat]

    def _locate(self, groups: list[dict[str, torch.Size]]) -> dict[str, _Part]:
        ranks = len(self._flat)
        parts: dict[str, _Part] = {}
        sizes: list[int] = []
        for index, shapes in enumerate(groups):
            offset = 0
            for name, shape in shapes.items():
                parts[name] = _Part(index, offset, -(-shape.numel() // ranks))
                offset += parts[name].length
            sizes.append(offset)
            self._shapes |= shapes
        for rank, flat in enumerate(self._flat):
            if [buffer.numel() for buffer in flat] != sizes:
                raise ExportError(
                    f"{self._folder}: rank {rank}'s weights do not have the sizes that rank 0 names"
                )
        return parts

    def _read_optimizers(self) -> list[dict[str, Any]]:
        """The optimizer states of all ranks, in the ranks' order."""
        paths = {_rank(path): path for path in sorted(self._folder.glob(OPTIMIZER_PATTERN))}
        states = {rank: self._read_optimizer(path) for rank, path in paths.items()}
        ranks = max((state["partition_count"] for state in states.values()), default=1)
        missing = set(range(ranks)) - states.keys()
        if missing or any(state["partition_count"] != ranks for state in states.values()):
            found = f"found those of {sorted(states)}" if missing else "found those of another run among them"
            raise ExportError(f"{self._folder}: expected the *_optim_states.pt of {ranks} ranks, {found}")
        return [states[rank] for rank in sorted(states)]

    def _read_optimizer(self, path: Path) -> dict[str, Any]:
        state = read_deepspeed_file(path).get("optimizer_state_dict")
        if not isinstance(state, dict) or not {"partition_count", "fp32_flat_groups"} <= state.keys():
            raise ExportError(f"{path}: no ZeRO-3 optimizer file; expected one with fp32_flat_groups")
        return state

    def _read_model(self, rank: int) -> dict[str, Any]:
        path = self._folder / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt"
        model = read_deepspeed_file(path)
        for key in _MODEL_KEYS:
            if key not in model:
                raise ExportError(f"{path}: no ZeRO-3 model file; expected one with {key}")
        return model


def _rank(path: Path) -> int:
    """`bf16_zero_pp_rank_3_mp_rank_00_optim_states.pt` → 3."""
    rank, _, model_rank = path.name.partition("zero_pp_rank_")[2].partition("_mp_rank_")
    if not model_rank.startswith("00_") or not rank.isdecimal():
        raise ExportError(f"{path}: tensor- and expert-parallel checkpoints are not supported, only ZeRO's")
    return int(rank)
