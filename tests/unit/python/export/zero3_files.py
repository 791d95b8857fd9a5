"""Writes the files that DeepSpeed's ZeRO-3 leaves, for any number of ranks, without running it."""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

NAME = "zero_pp_rank_{}_mp_rank_00_{}_states.pt"


def part_of(tensor: Tensor, rank: int, ranks: int) -> Tensor:
    """What `rank` holds of `tensor`; the last rank's part is padded."""
    length = -(-tensor.numel() // ranks)
    padded = torch.zeros(length * ranks, dtype=tensor.dtype)
    padded[: tensor.numel()] = tensor.flatten()
    return padded[rank * length : (rank + 1) * length].clone()


def write_zero3(
    folder: Path,
    groups: list[dict[str, Tensor]],
    ranks: int,
    frozen: dict[str, Tensor] | None = None,
    buffers: dict[str, Tensor] | None = None,
    tied: dict[str, str] | None = None,
) -> None:
    """Write a checkpoint of the tensors in `groups`, one flat buffer a group."""
    frozen, buffers = frozen or {}, buffers or {}
    for rank in range(ranks):
        model = {
            "module": {name: torch.empty(0) for group in groups for name in group} | buffers,
            "buffer_names": list(buffers),
            "param_shapes": [OrderedDict((name, t.shape) for name, t in group.items()) for group in groups],
            "frozen_param_shapes": OrderedDict((name, t.shape) for name, t in frozen.items()) or None,
            "frozen_param_fragments": {name: part_of(t, rank, ranks) for name, t in frozen.items()} or None,
            "shared_params": tied or {},
            "ds_version": "0.19.8",
        }
        flat = [torch.cat([part_of(t, rank, ranks).float() for t in group.values()]) for group in groups]
        optimizer = {"zero_stage": 3, "partition_count": ranks, "fp32_flat_groups": flat}
        torch.save(model, folder / NAME.format(rank, "model"))
        torch.save({"optimizer_state_dict": optimizer}, folder / NAME.format(rank, "optim"))
