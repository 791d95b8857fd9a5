"""Types that are read and not written, as floats: what llama.cpp gives the embeddings of small files."""

from __future__ import annotations

import torch
from torch import Tensor


def dequantize_q4_k(blocks: Tensor) -> Tensor:
    """uint8 (blocks, 144) → float32 (blocks, 256): 8 groups of 32 with a scale and a minimum of 6 bits each."""
    scale, least = (_half(blocks[:, at : at + 2]) for at in (0, 2))
    low, middle, high = blocks[:, 4:16].int().unflatten(1, (3, 4)).unbind(1)
    scales = torch.cat((low & 63, high & 15 | low >> 2 & 48), dim=1)
    minima = torch.cat((middle & 63, high >> 4 | middle >> 2 & 48), dim=1)
    pairs = blocks[:, 16:].unflatten(1, (4, 1, 32))
    codes = torch.cat((pairs & 15, pairs >> 4), dim=2).flatten(1, 2).float()
    return ((scale * scales).unsqueeze(-1) * codes - (least * minima).unsqueeze(-1)).flatten(1)


def dequantize_q6_k(blocks: Tensor) -> Tensor:
    """uint8 (blocks, 210) → float32 (blocks, 256): 16 groups of 16 with a scale of 8 bits each."""
    low = blocks[:, :128].unflatten(1, (2, 1, 64))
    low = torch.cat((low & 15, low >> 4), dim=2).view(-1, 2, 4, 32)
    high = blocks[:, 128:192].unflatten(1, (2, 1, 32))
    high = torch.cat([high >> shift & 3 for shift in (0, 2, 4, 6)], dim=2)
    codes = (low | high << 4).flatten(1).float() - 32
    scales = blocks[:, 192:208].contiguous().view(torch.int8).float() * _half(blocks[:, 208:])
    return (scales.unsqueeze(-1) * codes.unflatten(1, (16, 16))).flatten(1)


def _half(bits: Tensor) -> Tensor:
    return bits.contiguous().view(torch.float16).float()
