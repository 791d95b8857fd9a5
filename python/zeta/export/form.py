"""What a packed form of linear layers has to say of itself."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Form(Protocol):
    """A way to store the weight of a linear layer, in one or more tensors `LAYER.SUFFIX`."""

    suffixes: tuple[str, ...]

    def check(self, layer: str, shape: torch.Size, has_bias: bool) -> None:
        """Check that a weight of `shape` can be stored so.

        Raises:
            ExportError: it cannot; the message names the layer.
        """

    def encode(self, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the tensors to store, by suffix, for the codes and scale of a weight that had `dtype`."""

    def decode(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Undo `encode`: int8 codes `(out_features, in_features)` and fp32 scale."""

    def quantization_config(self, unpacked: list[str]) -> dict[str, Any]:
        """Return what config.json tells readers; `unpacked` names the linear layers that stay as they are."""
