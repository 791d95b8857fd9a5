"""8-bit weights as `compressed-tensors` stores them: `int-quantized`, symmetric, one scale an output feature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zeta.export.int2 import check_rows


class Int8:
    """`X.weight` int8 `(N, K)`, `X.weight_scale` bfloat16 `(N, 1)`, which multiplies.

    Activations are int8 too, with a scale for each token that readers compute as they go.
    """

    suffixes = ("weight", "weight_scale")

    def check(self, layer: str, shape: torch.Size, has_bias: bool) -> None:
        check_rows(layer, shape, "8-bit")

    def encode(self, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        return {"weight": codes, "weight_scale": scale.bfloat16()}

    def decode(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return tensors["weight"], tensors["weight_scale"].float()

    def quantization_config(self, unpacked: list[str]) -> dict[str, Any]:
        numbers = {"num_bits": 8, "type": "int", "symmetric": True}
        group = {
            "targets": ["Linear"],
            "weights": numbers | {"strategy": "channel", "dynamic": False},
            "input_activations": numbers | {"strategy": "token", "dynamic": True},
        }
        return {
            "quant_method": "compressed-tensors",
            "format": "int-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": group},
            "ignore": unpacked,
        }
