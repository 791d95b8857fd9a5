"""Matrices as FP8 codes with a scale for each block, and their product."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import ScalingType

from zeta.quant.fp8_recipe import Block

_SMALLEST = 2.0**-126  # a scale of a block of zeros; the smallest normal float


class Fp8Matrix(NamedTuple):
    """`codes · scale`, with the scale spread over its block.

    Attributes:
        codes: `(M, K)`, contiguous, float8_e4m3fn or float8_e5m2.
        scale: float32 `(M / rows of a block, K / columns of a block)`.
    """

    codes: Tensor
    scale: Tensor

    def dequantize(self) -> Tensor:
        rows, columns = (c // s for c, s in zip(self.codes.shape, self.scale.shape, strict=True))
        spread = self.scale.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
        return self.codes.float() * spread


def quantize_blocks(x: Tensor, block: Block, dtype: torch.dtype, power_of_two: bool) -> Fp8Matrix:
    """`scale = max(max|block| / greatest code, 2⁻¹²⁶)`, in fp32, `codes = x / scale`, half to even.

    A NaN makes its block NaN, an infinity its own element. What is within 1/16 of the greatest float may be rounded
    to infinity.

    Args:
        x: `(M, K)`, floating point, M and K multiples of the block's sizes and not 0.
        block: rows and columns that share a scale; None for all.
        dtype: of the codes.
        power_of_two: round the scale up to a power of two.
    """
    rows, columns = block[0] or x.shape[0], block[1] or x.shape[1]
    greatest = torch.finfo(dtype).max
    blocks = x.float().unflatten(1, (-1, columns)).unflatten(0, (-1, rows))
    scale = (blocks.abs().amax((1, 3), keepdim=True) / greatest).clamp(min=_SMALLEST)
    if power_of_two:
        scale = _round_up_to_power_of_two(scale)
    codes = (blocks / scale).clamp(-greatest, greatest).to(dtype)
    return Fp8Matrix(codes.reshape(x.shape).contiguous(), scale[:, 0, :, 0])


def multiply(a: Fp8Matrix, b: Fp8Matrix, dtype: torch.dtype, fast: bool) -> Tensor:
    """A · Bᵀ, `(M, K) · (N, K)ᵀ`, summed in fp32.

    On a GPU the tensor cores multiply the codes; elsewhere the same formula is computed in fp32.

    Args:
        dtype: of the result. On a GPU, scales of rows or blocks round it to bfloat16 first.
        fast: let the tensor cores keep sums in fewer bits.
    """
    of_rows = a.scale.shape[1] == 1 and len(a.codes) == len(a.scale) and len(b.codes) == len(b.scale)
    of_tensors = a.scale.numel() == 1 and b.scale.numel() == 1
    if of_rows and not of_tensors:
        return _multiply_rows(*a, *b, dtype, fast)
    if not of_tensors:
        return _multiply_blocks(*a, *b, dtype)
    if not a.codes.is_cuda:
        return (a.dequantize() @ b.dequantize().T).to(dtype)
    scales = (a.scale.reshape(()), b.scale.reshape(()))
    return torch._scaled_mm(a.codes, b.codes.t(), *scales, out_dtype=dtype, use_fast_accum=fast)


# An operation of its own: with torch 2.11 Inductor's version of this product gave gradients of 0 on an H200,
# where the very call is right by itself.
@torch.library.custom_op("zeta_fp8::multiply_rows", mutates_args=())
def _multiply_rows(
    a_codes: Tensor, a_scale: Tensor, b_codes: Tensor, b_scale: Tensor, dtype: torch.dtype, fast: bool
) -> Tensor:
    if not a_codes.is_cuda:
        a, b = Fp8Matrix(a_codes, a_scale), Fp8Matrix(b_codes, b_scale)
        return (a.dequantize() @ b.dequantize().T).to(dtype)
    scales = (a_scale.contiguous(), b_scale.t().contiguous())
    y = torch._scaled_mm(a_codes, b_codes.t(), *scales, out_dtype=torch.bfloat16, use_fast_accum=fast)
    return y.to(dtype)


@_multiply_rows.register_fake
def _(
    a_codes: Tensor, a_scale: Tensor, b_codes: Tensor, b_scale: Tensor, dtype: torch.dtype, fast: bool
) -> Tensor:
    return a_codes.new_empty((a_codes.shape[0], b_codes.shape[0]), dtype=dtype)


# An operation of its own: torch.compile does not trace torch's scaled_mm.
@torch.library.custom_op("zeta_fp8::multiply_blocks", mutates_args=())
def _multiply_blocks(
    a_codes: Tensor, a_scale: Tensor, b_codes: Tensor, b_scale: Tensor, dtype: torch.dtype
) -> Tensor:
    a, b = Fp8Matrix(a_codes, a_scale), Fp8Matrix(b_codes, b_scale)
    if not a_codes.is_cuda:
        return (a.dequantize() @ b.dequantize().T).to(dtype)
    kinds = []
    scales = []
    for codes, scale in (a, b):
        if len(scale) == len(codes):
            kinds.append(ScalingType.BlockWise1x128)
            scales.append(scale.t().contiguous().t())  # the scales of one column of blocks lie together
        else:
            kinds.append(ScalingType.BlockWise128x128)
            scales.append(functional.pad(scale, (0, -scale.shape[1] % 4)).t())  # cuBLAS steps by 4 scales
    return functional.scaled_mm(a.codes, b.codes.t(), scales[0], kinds[0], scales[1], kinds[1]).to(dtype)


@_multiply_blocks.register_fake
def _(a_codes: Tensor, a_scale: Tensor, b_codes: Tensor, b_scale: Tensor, dtype: torch.dtype) -> Tensor:
    return a_codes.new_empty((a_codes.shape[0], b_codes.shape[0]), dtype=dtype)


def _round_up_to_power_of_two(scale: Tensor) -> Tensor:
    """Of positive normal floats, infinity and NaN: clears the mantissa after a carry into the exponent."""
    bits = scale.view(torch.int32)
    return torch.where(scale.isnan(), scale, ((bits + 0x7FFFFF) & 0x7F800000).view(torch.float32))
