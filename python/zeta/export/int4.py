"""4-bit weights as `compressed-tensors` stores them: `pack-quantized`, symmetric, one scale a group."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zeta.export.errors import ExportError
from zeta.quant.pack import pack_int4, unpack_int4
from zeta.quant.precision import INT4, check_features


class Int4:
    """`X.weight_packed` int32 `(N, K/8)`, `X.weight_scale` bfloat16 `(N, K/group)`, `X.weight_shape`.

    The scale is stored in bfloat16 whatever the model's dtype: it was rounded to that before codes were made.
    """

    suffixes = ("weight_packed", "weight_scale", "weight_shape")

    def __init__(self, group_size: int) -> None:
        self.group_size = group_size

    def check(self, layer: str, shape: torch.Size, has_bias: bool) -> None:
        try:
            check_features(shape[1], INT4, self.group_size)
        except ValueError as error:
            raise ExportError(f"{layer}: {error}") from error

    def encode(self, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        shape = torch.tensor(codes.shape, dtype=torch.int64)
        return {"weight_packed": pack_int4(codes), "weight_scale": scale.bfloat16(), "weight_shape": shape}

    def decode(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        codes = unpack_int4(tensors["weight_packed"])
        return codes[:, : int(tensors["weight_shape"][1])], tensors["weight_scale"].float()

    def quantization_config(self, unpacked: list[str]) -> dict[str, Any]:
        weights = {
            "num_bits": 4,
            "type": "int",
            "symmetric": True,
            "strategy": "group",
            "group_size": self.group_size,
            "dynamic": False,
        }
        return {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights} | self._activations()},
            "ignore": unpacked,
        }

    def _activations(self) -> dict[str, Any]:
        return {}


class W4A8Int4(Int4):
    """The same weights for activations in int8, with a scale for each token that readers compute as they go."""

    def _activations(self) -> dict[str, Any]:
        numbers = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
        # Unless the group names its format, readers take one with int8 weights wherever activations are int8.
        return {"input_activations": numbers, "format": "pack-quantized"}
