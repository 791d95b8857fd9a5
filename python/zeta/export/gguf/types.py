"""The types that a GGUF file's tensors may have here, plain and in blocks."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch

from zeta.quant.gguf import BLOCK_TYPES


class TensorType(NamedTuple):
    """How a type of tensor is called and stored."""

    name: str
    elements: int  # of a block; 1 for plain numbers
    nbytes: int  # of a block
    dtype: torch.dtype | None = None  # of plain numbers


PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_PLAIN_IDS = {"F32": 0, "F16": 1, "BF16": 30}
_READ_ONLY = {12: TensorType("Q4_K", 256, 144), 14: TensorType("Q6_K", 256, 210)}

TYPES: dict[int, TensorType] = {
    **{_PLAIN_IDS[name]: TensorType(name, 1, dtype.itemsize, dtype) for name, dtype in PLAIN.items()},
    **{block.id: TensorType(name, block.elements, block.nbytes) for name, block in BLOCK_TYPES.items()},
    **_READ_ONLY,
}
IDS = {type.name: id for id, type in TYPES.items()}


def byte_size(type: TensorType, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of `shape` (rows first) whose last extent is a multiple of the type's block."""
    return prod(shape) // type.elements * type.nbytes
