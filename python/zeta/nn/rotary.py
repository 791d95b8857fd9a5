"""Rotary position embeddings: Su et al., RoFormer, 2021, in Llama's order (halves of a head as pairs)."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate(x: Tensor, first: int, base: float) -> Tensor:
    """Turn x, `(batch, seq, heads, head_dim)`, whose positions count from `first`; angles in fp32 or float64."""
    half = x.shape[-1] // 2
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    position = torch.arange(first, first + x.shape[1], device=x.device, dtype=dtype)
    frequency = base ** -(torch.arange(half, device=x.device, dtype=dtype) / half)
    angle = (position[:, None] * frequency)[:, None, :]
    a, b = x[..., :half].to(dtype), x[..., half:].to(dtype)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)
