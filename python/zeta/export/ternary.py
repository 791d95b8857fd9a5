"""Ternary weights as Hugging Face `bitnet` stores them: 2 bits a weight, one multiplying scale a layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zeta.export.errors import ExportError
from zeta.quant.pack import pack_ternary, unpack_ternary


class Ternary:
    """`X.weight` uint8 `(N/4, K)` and `X.weight_scale` `(1)` = β.

    The class is `autobitlinear`, whose scale multiplies; the other one, `bitlinear`, stores 1/β and divides.
    """

    suffixes = ("weight", "weight_scale")

    def check(self, layer: str, shape: torch.Size, has_bias: bool) -> None:
        if shape[0] % 4 or shape[0] < 8:
            raise ExportError(
                f"{layer}: expected out_features to be a multiple of 4, at least 8, to pack ternary weights, "
                f"got {shape[0]}"
            )
        if has_bias:
            raise ExportError(
                f"{layer}: has a bias, which readers of ternary weights multiply by the weights' scale; "
                "train without biases, or export another precision"
            )

    def encode(self, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        return {"weight": pack_ternary(codes), "weight_scale": scale.to(dtype)}

    def decode(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return unpack_ternary(tensors["weight"]), tensors["weight_scale"].float()

    def quantization_config(self, unpacked: list[str]) -> dict[str, Any]:
        return {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
            "modules_to_not_convert": unpacked,
            "use_rms_norm": False,
        }
