"""Attention's operands in float8."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zeta import _library

_library.load()


class QuantizedAttention(NamedTuple):
    """Codes of float8_e4m3fn and float32 descales `(batch, num_kv_heads)`, named as `flash_attention` takes them."""

    q: Tensor
    k: Tensor
    v: Tensor
    q_descale: Tensor
    k_descale: Tensor
    v_descale: Tensor


def quantize_attention(q: Tensor, k: Tensor, v: Tensor) -> QuantizedAttention:
    """Operands of `flash_attention` in float8: `flash_attention(**quantize_attention(q, k, v)._asdict())`.

    Codes times descale approximate the operand. A descale is the greatest magnitude of its batch and kv head (of q:
    of all the query heads that share it) over 448, float8_e4m3fn's greatest number. For inference.

    Shape:
        - q: `(batch, seq_q, num_heads, head_dim)`
        - k: `(batch, seq_k, num_kv_heads, head_dim)`
        - v: `(batch, seq_k, num_kv_heads, value_dim)`
        - output: codes of these shapes, and descales `(batch, num_kv_heads)`

    Args:
        q, k, v: float32, bfloat16, float16 or float64, all alike; any strides.

    Raises:
        ValueError: a shape does not fit.
        TypeError: a dtype does not fit.
        NotImplementedError: an operand requires grad while gradients are enabled; under `torch.func.vmap`.
    """
    return QuantizedAttention(*torch.ops.zeta.quantize_attention.default(q, k, v))
