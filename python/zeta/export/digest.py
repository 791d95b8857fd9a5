"""Digests of tensors, to compare what was written with what was meant."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def digest(*tensors: Tensor) -> str:
    """SHA-256 over the dtypes, shapes and bytes of `tensors`."""
    state = hashlib.sha256()
    for tensor in tensors:
        state.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        state.update(memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy()))
    return state.hexdigest()
