"""What a layer of attention remembers of the tokens that it has seen."""

from __future__ import annotations

import torch
from torch import Tensor


class KeyValueCache:
    """Keys and values of `batch` sequences that grow together, in memory that is reserved once.

    Args:
        batch: how many sequences.
        max_seq: how many positions there is room for.
        num_kv_heads, head_dim: of the keys and of the values.
        device, dtype: of the memory.

    Not thread-safe. For inference: what it returns is not differentiable.
    """

    def __init__(
        self,
        batch: int,
        max_seq: int,
        num_kv_heads: int,
        head_dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        shape = (batch, max_seq, num_kv_heads, head_dim)
        self._keys = torch.empty(shape, device=device, dtype=dtype)
        self._values = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add `(batch, seq, num_kv_heads, head_dim)` each; returns all there is, without copying it.

        Raises:
            ValueError: there is no room, or the tensors need gradients.
        """
        if torch.is_grad_enabled() and (k.requires_grad or v.requires_grad):
            raise ValueError("expected no gradients with a cache: call the layer under torch.no_grad()")
        first, last = self.length, self.length + k.shape[1]
        if last > self._keys.shape[1]:
            raise ValueError(f"expected at most {self._keys.shape[1]} positions in the cache, got {last}")
        self._keys[:, first:last] = k
        self._values[:, first:last] = v
        self.length = last
        return self._keys[:, :last], self._values[:, :last]
