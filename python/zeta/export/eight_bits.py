"""8-bit weights as `compressed-tensors` stores them, int8 or e4m3: symmetric, one scale an output feature."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from zeta.export.int2 import check_rows


class EightBits:
    """`X.weight` int8 or float8_e4m3fn `(N, K)`, `X.weight_scale` bfloat16 `(N, 1)`, which multiplies.

    Activations are of the same kind, with a scale for each token that readers compute as they go.

    Args:
        kind: `"int"`, the format `int-quantized`, or `"float"`, `float-quantized`.
    """

    suffixes = ("weight", "weight_scale")

    def __init__(self, kind: Literal["int", "float"]) -> None:
        self.kind = kind

    def check(self, layer: str, shape: torch.Size, has_bias: bool) -> None:
        if self.kind == "int":  # an engine packs these in planes of four rows; any e4m3 layer fits
            check_rows(layer, shape, "8-bit")

    def encode(self, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        return {"weight": codes, "weight_scale": scale.bfloat16()}

    def decode(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return tensors["weight"], tensors["weight_scale"].float()

    def quantization_config(self, unpacked: list[str]) -> dict[str, Any]:
        numbers = {"num_bits": 8, "type": self.kind, "symmetric": True}
        group = {
            "targets": ["Linear"],
            "weights": numbers | {"strategy": "channel", "dynamic": False},
            "input_activations": numbers | {"strategy": "token", "dynamic": True},
        }
        return {
            "quant_method": "compressed-tensors",
            "format": f"{self.kind}-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": group},
            "ignore": unpacked,
        }
