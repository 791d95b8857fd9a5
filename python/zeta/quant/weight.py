"""A weight's codes and scale, as the layers' forward computes them."""

from __future__ import annotations

import torch
from torch import Tensor

from zeta import _library
from zeta.quant.precision import DEFAULT_GROUP_SIZE, check_features, check_precision

_library.load()


def quantize_weight(
    weight: Tensor, precision: str, group_size: int = DEFAULT_GROUP_SIZE
) -> tuple[Tensor, Tensor]:
    """Quantise a weight exactly as `BitLinear` does in its forward.

    Args:
        weight: `(N, K)`, float32, bfloat16, float16 or float64, in the dtype that the forward saw.
        precision: any of `BitLinear`'s.
        group_size: input features that share a scale, for `"4bit"` and `"w4a8"`.
    Returns:
        codes: int8 `(N, K)`, or float8_e4m3fn for `"fp8"`.
        scale: float32, `(1)` for 1-bit and ternary, `(N, K/group_size)` for 4-bit weights, else `(N, 1)`.
            `codes · scale` is the weight used.
    Raises:
        ValueError: unknown precision, or a `group_size` that does not divide K.
    """
    check_precision(precision)
    check_features(weight.shape[-1], precision, group_size)
    return torch.ops.zeta.quantize_weight.default(weight.detach(), precision, group_size)
