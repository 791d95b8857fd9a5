"""Between int8 codes and the packed layouts that model folders store.

Ternary is Hugging Face's `bitnet` layout, 4-bit is `compressed-tensors`' `pack-quantized`; both bit for bit.
The others are our own.
`torch.ops.zeta.packed_linear` multiplies with the packed forms as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pack_ternary(codes: Tensor) -> Tensor:
    """Pack ternary codes: byte `r` holds rows `r, r + N/4, r + N/2, r + 3N/4`, low bits first.

    Args:
        codes: int8 `(N, K)`, each −1, 0 or 1; N a multiple of 4.
    Returns:
        uint8 `(N/4, K)`.
    Raises:
        ValueError: wrong dtype, shape or a code out of range.
    """
    _check_codes(codes, low=-1, high=1)
    if codes.shape[0] % 4:
        raise ValueError(
            f"expected out_features to be a multiple of 4 to pack ternary codes, got {codes.shape[0]}"
        )
    quarters = (codes + 1).to(torch.uint8).chunk(4)
    return quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6


def unpack_ternary(packed: Tensor) -> Tensor:
    """Undo `pack_ternary`.

    Args:
        packed: uint8 `(N/4, K)`.
    Returns:
        int8 `(N, K)`.
    Raises:
        ValueError: wrong dtype or shape.
    """
    _check(packed, torch.uint8, "packed ternary weights")
    return torch.cat([(packed >> shift & 3).to(torch.int8) - 1 for shift in (0, 2, 4, 6)])


def pack_int4(codes: Tensor) -> Tensor:
    """Pack 4-bit codes, eight to an int32, low bits first, each stored as code + 8.

    Args:
        codes: int8 `(N, K)`, each in [−8, 7]; K a multiple of 8.
    Returns:
        int32 `(N, K/8)`.
    Raises:
        ValueError: wrong dtype, shape or a code out of range.
    """
    _check_codes(codes, low=-8, high=7)
    if codes.shape[1] % 8:
        raise ValueError(
            f"expected in_features to be a multiple of 8 to pack 4-bit codes, got {codes.shape[1]}"
        )
    low, high = (codes.contiguous() + 8).view(torch.uint8).unflatten(1, (-1, 2)).unbind(2)
    return (low | high << 4).view(torch.int32)


def unpack_int4(packed: Tensor) -> Tensor:
    """Undo `pack_int4`.

    Args:
        packed: int32 `(N, K/8)`.
    Returns:
        int8 `(N, K)`.
    Raises:
        ValueError: wrong dtype or shape.
    """
    _check(packed, torch.int32, "packed 4-bit weights")
    pairs = packed.contiguous().view(torch.uint8)
    return torch.stack((pairs & 15, pairs >> 4), dim=2).flatten(1).view(torch.int8) - 8


def pack_int2(codes: Tensor) -> Tensor:
    """Pack 2-bit codes as `pack_ternary` packs ternary ones, each stored as (code + 3) / 2.

    Args:
        codes: int8 `(N, K)`, each −3, −1, 1 or 3; N a multiple of 4.
    Returns:
        uint8 `(N/4, K)`.
    Raises:
        ValueError: wrong dtype, shape or a code that there is not.
    """
    _check_codes(codes, low=-3, high=3)
    if (codes & 1 == 0).any():
        raise ValueError("expected codes of −3, −1, 1 and 3, got an even one")
    if codes.shape[0] % 4:
        raise ValueError(
            f"expected out_features to be a multiple of 4 to pack 2-bit codes, got {codes.shape[0]}"
        )
    quarters = (codes + 3 >> 1).to(torch.uint8).chunk(4)
    return quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6


def unpack_int2(packed: Tensor) -> Tensor:
    """Undo `pack_int2`.

    Args:
        packed: uint8 `(N/4, K)`.
    Returns:
        int8 `(N, K)`.
    Raises:
        ValueError: wrong dtype or shape.
    """
    _check(packed, torch.uint8, "packed 2-bit weights")
    return torch.cat([(packed >> shift & 3).to(torch.int8) * 2 - 3 for shift in (0, 2, 4, 6)])


def pack_int8(codes: Tensor) -> Tensor:
    """Reorder 8-bit codes as `packed_linear` multiplies them: four planes of 2 bits, each packed as ternary is.

    Args:
        codes: int8 `(N, K)`; N a multiple of 4.
    Returns:
        uint8 `(N, K)`: N/4 rows of bits 0 and 1 of code + 128, then as many of bits 2 and 3, and so on.
    Raises:
        ValueError: wrong dtype or shape.
    """
    _check_codes(codes, low=-128, high=127)
    if codes.shape[0] % 4:
        raise ValueError(
            f"expected out_features to be a multiple of 4 to pack 8-bit codes, got {codes.shape[0]}"
        )
    biased = codes.contiguous().view(torch.uint8) ^ 128
    planes = [(biased >> shift & 3).chunk(4) for shift in (0, 2, 4, 6)]
    return torch.cat([q[0] | q[1] << 2 | q[2] << 4 | q[3] << 6 for q in planes])


def unpack_int8(packed: Tensor) -> Tensor:
    """Undo `pack_int8`.

    Args:
        packed: uint8 `(N, K)`; N a multiple of 4.
    Returns:
        int8 `(N, K)`.
    Raises:
        ValueError: wrong dtype or shape.
    """
    _check(packed, torch.uint8, "packed 8-bit weights")
    planes = [torch.cat([plane >> shift & 3 for shift in (0, 2, 4, 6)]) for plane in packed.chunk(4)]
    biased = planes[0] | planes[1] << 2 | planes[2] << 4 | planes[3] << 6
    return (biased ^ 128).view(torch.int8)


def _check(tensor: Tensor, dtype: torch.dtype, what: str) -> None:
    if tensor.dtype != dtype or tensor.dim() != 2:
        raise ValueError(
            f"expected {what} as {dtype} of 2 dimensions, got {tensor.dtype} {tuple(tensor.shape)}"
        )


def _check_codes(codes: Tensor, low: int, high: int) -> None:
    _check(codes, torch.int8, "codes")
    if codes.numel() and (codes.amin() < low or codes.amax() > high):
        raise ValueError(
            f"expected codes in [{low}, {high}], got [{codes.amin().item()}, {codes.amax().item()}]"
        )
