"""2-bit weights in a form of our own, since no library has one: packed as ternary is, a scale an output feature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zeta.export.errors import ExportError
from zeta.quant.pack import pack_int2, unpack_int2


class Int2:
    """`X.weight` uint8 `(N/4, K)`, `X.weight_scale` bfloat16 `(N, 1)`, which multiplies. Activations are int8."""

    suffixes = ("weight", "weight_scale")

    def check(self, layer: str, shape: torch.Size, has_bias: bool) -> None:
        check_rows(layer, shape, "2-bit")

    def encode(self, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        return {"weight": pack_int2(codes), "weight_scale": scale.bfloat16()}

    def decode(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return unpack_int2(tensors["weight"]), tensors["weight_scale"].float()

    def quantization_config(self, unpacked: list[str]) -> dict[str, Any]:
        return {"quant_method": "zeta", "format": "int2", "modules_to_not_convert": unpacked}


def check_rows(layer: str, shape: torch.Size, what: str) -> None:
    """Raise ExportError unless the engine's integer products take a weight of `shape`."""
    if shape[0] % 4 or shape[1] >= 1 << 16:
        raise ExportError(
            f"{layer}: expected out_features to be a multiple of 4 and in_features < 65536 for {what} weights, "
            f"got {shape[0]} and {shape[1]}"
        )
