"""Where weights come from, whatever their layout on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Weights(Protocol):
    """The full tensors of one model, read one at a time."""

    @property
    def shapes(self) -> Mapping[str, torch.Size]:
        """The shape of each tensor, by its name in the model's state dict."""

    def load(self, name: str) -> Tensor:
        """Read one tensor, in the dtype it is stored in."""
