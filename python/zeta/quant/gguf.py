"""Between codes with scales and the blocks that GGUF files store: TQ1_0, TQ2_0, Q4_0 and Q8_0.

A row of K weights is K / elements blocks, each with a float16 scale. The layouts are llama.cpp's, bit for bit
(`ggml-common.h`, `ggml-quants.c`); codes survive both ways, scales are rounded to float16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class BlockType(NamedTuple):
    """One of GGUF's types of blocks."""

    id: int  # in a file
    elements: int
    nbytes: int
    low: int  # least code
    high: int
    pack: Callable[[Tensor], Tensor]  # codes (blocks, elements) int8 → (blocks, nbytes − 2) uint8
    unpack: Callable[[Tensor], Tensor]
    scale_first: bool


def pack_gguf(codes: Tensor, scale: Tensor, type: str) -> Tensor:
    """Pack codes and their scales.

    Args:
        codes: int8 `(N, K)`, K a multiple of the type's block: 256 for TQ1_0 and TQ2_0, 32 for Q4_0 and Q8_0.
        scale: floating `(N, G)` with K / G a multiple of the block, or `(1)`: rounded to float16.
        type: `"TQ1_0"` or `"TQ2_0"` (codes −1…1), `"Q4_0"` (−8…7) or `"Q8_0"` (−128…127).
    Returns:
        uint8 `(N, bytes of a row)`.
    Raises:
        ValueError: unknown type, a shape that it cannot hold, a code out of range, or a scale that float16 cannot
            hold: not finite, above 65504, or so small that it becomes 0.
    """
    block = block_type(type)
    if codes.dtype != torch.int8 or codes.dim() != 2:
        raise ValueError(f"expected codes as int8 of 2 dimensions, got {codes.dtype} {tuple(codes.shape)}")
    rows, columns = codes.shape
    check_columns(columns, type)
    groups = scale.numel() // rows if scale.dim() == 2 else 1
    if scale.shape not in ((1,), (rows, groups)) or not groups or columns % (groups * block.elements):
        raise ValueError(
            f"expected scale (1) or ({rows}, groups of a multiple of {block.elements} columns) for {type}, "
            f"got {tuple(scale.shape)} for {columns} columns"
        )
    if codes.numel() and (codes.amin() < block.low or codes.amax() > block.high):
        raise ValueError(
            f"expected codes in [{block.low}, {block.high}] for {type}, "
            f"got [{codes.amin().item()}, {codes.amax().item()}]"
        )
    half = scale.to(torch.float16)
    lost = ~half.isfinite() | ((half == 0) & (scale != 0))
    if lost.any():
        raise ValueError(f"expected scales that float16 holds, got {scale[lost][0].item():.6g}")
    blocks = columns // block.elements
    half = half.reshape(-1, groups, 1).expand(rows, groups, blocks // groups).reshape(-1, 1)
    packed = block.pack(codes.reshape(-1, block.elements))
    bits = half.contiguous().view(torch.uint8)
    return torch.cat((bits, packed) if block.scale_first else (packed, bits), dim=1).view(rows, -1)


def unpack_gguf(packed: Tensor, type: str) -> tuple[Tensor, Tensor]:
    """Undo `pack_gguf`.

    Args:
        packed: uint8 `(N, bytes of a row)`.
        type: as for `pack_gguf`.
    Returns:
        codes: int8 `(N, K)`.
        scale: float32 `(N, K / elements of a block)`, as stored: also 0, negative or not finite.
    Raises:
        ValueError: unknown type, wrong dtype or shape, or a byte that stands for no code (ternary only).
    """
    block = block_type(type)
    if packed.dtype != torch.uint8 or packed.dim() != 2 or packed.shape[1] % block.nbytes:
        raise ValueError(
            f"expected uint8 rows of a multiple of {block.nbytes} bytes for {type}, "
            f"got {packed.dtype} {tuple(packed.shape)}"
        )
    rows = packed.shape[0]
    blocks = packed.reshape(-1, block.nbytes)
    bits, values = (blocks[:, :2], blocks[:, 2:]) if block.scale_first else (blocks[:, -2:], blocks[:, :-2])
    codes = block.unpack(values)
    if codes.numel() and codes.amax() > block.high:
        raise ValueError(f"holds a code of {codes.amax().item()}; {type} has none above {block.high}")
    scale = bits.contiguous().view(torch.float16).float()
    return codes.view(rows, -1), scale.view(rows, -1)


def quantize_q8_0(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round a floating `(N, K)` to Q8_0's codes and scales, as llama.cpp's quantiser does: bit for bit.

    Returns:
        codes: int8 `(N, K)`; scale: float32 `(N, K / 32)`, not rounded yet.
    Raises:
        ValueError: K is no multiple of 32.
    """
    check_columns(weight.shape[1], "Q8_0")
    blocks = weight.float().reshape(weight.shape[0], -1, 32)
    scale = blocks.abs().amax(-1) / torch.full((), 127.0)
    scaled = blocks * torch.where(scale == 0, 0, 1 / scale).unsqueeze(-1)
    magnitude = scaled.abs()
    below = magnitude.floor()
    rounded = below + (magnitude - below >= 0.5)  # halves away from 0, as C's roundf
    return torch.copysign(rounded, scaled).to(torch.int8).view(weight.shape), scale


def block_type(name: str) -> BlockType:
    """The type called `name`.

    Raises:
        ValueError: there is none; the message names those there are.
    """
    if name not in BLOCK_TYPES:
        raise ValueError(f"expected a GGUF type of {', '.join(BLOCK_TYPES)}, got {name!r}")
    return BLOCK_TYPES[name]


def check_columns(columns: int, type: str) -> None:
    """Raise ValueError unless rows of `columns` weights can be stored as `type`."""
    elements = block_type(type).elements
    if columns <= 0 or columns % elements:
        raise ValueError(f"expected in_features to be a multiple of {elements} for {type}, got {columns}")


_POWERS = (81, 27, 9, 3, 1)


def _pack_trits(trits: Tensor, in_byte: int) -> Tensor:
    """(blocks, in_byte, bytes) of 0, 1 or 2: a fraction of 3⁵ as one of 2⁸, rounded up."""
    powers = torch.tensor(_POWERS[:in_byte]).view(1, -1, 1)
    return ((trits.int() * powers).sum(1) * 256 + 242).div(243, rounding_mode="floor").to(torch.uint8)


def _unpack_trits(packed: Tensor, in_byte: int) -> Tensor:
    """The leading digit of each byte times 3ⁱ, modulo 256."""
    factors = torch.tensor(_POWERS[::-1][:in_byte]).view(1, -1, 1)
    return (((packed.unsqueeze(1).int() * factors & 255) * 3) >> 8).to(torch.int8)


def _pack_tq1_0(codes: Tensor) -> Tensor:
    trits = codes + 1
    parts = trits[:, :160].unflatten(1, (5, 32)), trits[:, 160:240].unflatten(1, (5, 16))
    tail = trits[:, 240:].unflatten(1, (4, 4))
    return torch.cat([*(_pack_trits(part, 5) for part in parts), _pack_trits(tail, 4)], dim=1)


def _unpack_tq1_0(packed: Tensor) -> Tensor:
    parts = (packed[:, :32], 5), (packed[:, 32:48], 5), (packed[:, 48:], 4)
    return torch.cat([_unpack_trits(part, count).flatten(1) for part, count in parts], dim=1) - 1


def _pack_tq2_0(codes: Tensor) -> Tensor:
    quarters = (codes + 1).view(torch.uint8).unflatten(1, (2, 4, 32)).unbind(2)
    return (quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6).flatten(1)


def _unpack_tq2_0(packed: Tensor) -> Tensor:
    halves = packed.unflatten(1, (2, 32))
    return torch.stack([halves >> shift & 3 for shift in (0, 2, 4, 6)], dim=2).flatten(1).view(torch.int8) - 1


def _pack_q4_0(codes: Tensor) -> Tensor:
    low, high = (codes + 8).view(torch.uint8).chunk(2, dim=1)
    return low | high << 4


def _unpack_q4_0(packed: Tensor) -> Tensor:
    return torch.cat((packed & 15, packed >> 4), dim=1).view(torch.int8) - 8


BLOCK_TYPES = {
    "TQ1_0": BlockType(34, 256, 54, -1, 1, _pack_tq1_0, _unpack_tq1_0, scale_first=False),
    "TQ2_0": BlockType(35, 256, 66, -1, 1, _pack_tq2_0, _unpack_tq2_0, scale_first=False),
    "Q4_0": BlockType(2, 32, 18, -8, 7, _pack_q4_0, _unpack_q4_0, scale_first=True),
    "Q8_0": BlockType(
        8,
        32,
        34,
        -128,
        127,
        lambda codes: codes.contiguous().view(torch.uint8),
        lambda packed: packed.contiguous().view(torch.int8),
        scale_first=True,
    ),
}
