"""Multi-head attention as a layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zeta.nn.functional import flash_attention
from zeta.nn.key_value_cache import KeyValueCache
from zeta.nn.rotary import rotate


class FlashAttention(nn.Module):
    """Multi-head attention with its projections, for self- and cross-attention.

    Shape:
        - query: `(batch, seq_q, embed_dim)`
        - key, value: `(batch, seq_k, embed_dim)`
        - mask: bool, broadcastable to `(batch, num_heads, seq_q, seq_k)`, true where a query may attend. A
          padding mask `(batch, seq_k)` goes in as `mask[:, None, None, :]`.
        - output: `(batch, seq_q, embed_dim)`

    Args:
        embed_dim: width of inputs and output.
        num_heads: query heads; each is `embed_dim / num_heads` wide, at most 256.
        causal: a query sees keys up to its own position, aligned at the last one.
        num_kv_heads: key and value heads, shared by groups of query heads; `num_heads` where None.
        bias: whether the projections have biases.
        dropout: the chance that a probability is dropped in training.
        rotary: the base of rotary position embeddings, such as 10000.0; none where None. For self-attention.
        window: how many keys before and after its own position a query sees; -1 for no limit.
        linear: what the projections are made of, called as `linear(in, out, bias=…, device=…, dtype=…)`; for
            example `zeta.quant.BitLinear`.
        device, dtype: of the parameters.

    Raises:
        ValueError: the heads do not divide, or are wider than 256, or another number does not fit.

    Example:
        >>> attention = FlashAttention(embed_dim=512, num_heads=8, causal=True)
        >>> attention(torch.randn(2, 100, 512)).shape
        torch.Size([2, 100, 512])

    References:
        Vaswani et al., Attention Is All You Need, 2017; Dao et al., FlashAttention, 2022;
        Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        causal: bool = False,
        num_kv_heads: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: float | None = None,
        window: tuple[int, int] = (-1, -1),
        linear: Callable[..., nn.Module] = nn.Linear,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        _check_heads(embed_dim, num_heads, num_kv_heads)
        if not 0 <= dropout < 1:
            raise ValueError(f"expected 0 ≤ dropout < 1, got {dropout}")
        if rotary is not None and (rotary <= 0 or embed_dim // num_heads % 2):
            raise ValueError(
                f"expected rotary > 0 and an even head_dim, got rotary={rotary}, {embed_dim // num_heads}"
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = embed_dim // num_heads
        self.causal = causal
        self.dropout = dropout
        self.rotary = rotary
        self.window = window
        kv_dim = num_kv_heads * self.head_dim
        self.q_proj = linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.k_proj = linear(embed_dim, kv_dim, bias=bias, device=device, dtype=dtype)
        self.v_proj = linear(embed_dim, kv_dim, bias=bias, device=device, dtype=dtype)
        self.out_proj = linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Attend from `query` to `key` (`query` where None) and read `value` (`key` where None).

        With a cache (inference alone), `query` continues what the cache holds and is appended to it: it attends to
        all of it, and `mask`'s seq_k counts all of it.
        """
        if key is not None and (self.rotary is not None or cache is not None):
            raise ValueError("expected no key with rotary or a cache: they are for self-attention")
        key = query if key is None else key
        value = key if value is None else value
        for name, tensor in (("query", query), ("key", key), ("value", value)):
            if tensor.dim() != 3 or tensor.shape[-1] != self.embed_dim:
                raise ValueError(
                    f"expected {name} of shape (batch, seq, {self.embed_dim}), got {tuple(tensor.shape)}"
                )
        q = self.q_proj(query).unflatten(-1, (self.num_heads, self.head_dim))
        k = self.k_proj(key).unflatten(-1, (self.num_kv_heads, self.head_dim))
        v = self.v_proj(value).unflatten(-1, (self.num_kv_heads, self.head_dim))
        if self.rotary is not None:
            first = 0 if cache is None else cache.length
            q, k = rotate(q, first, self.rotary), rotate(k, first, self.rotary)
        if cache is not None:
            k, v = cache.append(k, v)
        out = flash_attention(
            q, k, v, mask=mask, causal=self.causal, window=self.window,
            dropout_p=self.dropout if self.training else 0.0,
        )  # fmt: skip
        return self.out_proj(out.flatten(-2))

    def make_cache(
        self,
        batch: int,
        max_seq: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> KeyValueCache:
        """An empty cache for `batch` sequences of at most `max_seq` positions."""
        return KeyValueCache(batch, max_seq, self.num_kv_heads, self.head_dim, device=device, dtype=dtype)

    def extra_repr(self) -> str:
        options = {
            "dropout": (self.dropout, 0.0),
            "rotary": (self.rotary, None),
            "window": (self.window, (-1, -1)),
        }
        text = f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, causal={self.causal}"
        return text + "".join(f", {n}={mine}" for n, (mine, usual) in options.items() if mine != usual)


def _check_heads(embed_dim: int, num_heads: int, num_kv_heads: int) -> None:
    if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
        raise ValueError(f"expected num_heads that divides embed_dim={embed_dim}, got {num_heads}")
    if num_kv_heads < 1 or num_heads % num_kv_heads:
        raise ValueError(f"expected num_kv_heads that divides num_heads={num_heads}, got {num_kv_heads}")
    if embed_dim // num_heads > 256:
        raise ValueError(f"expected head_dim ≤ 256, got embed_dim / num_heads = {embed_dim // num_heads}")
