"""`attn_implementation="zeta"` for transformers models.

The mask function is transformers' own for `sdpa`: it gives a bool mask (true = attend), or None where the
attention is plainly causal or plainly full, so that training without padding builds no seq × seq mask. It is
registered beside the attention: without it transformers passes no mask and padding is silently ignored.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from zeta.nn.functional import flash_attention

# What some models pass to select keys, and this formula does not have. Those that do so with an
# indexer put the selection into the mask for "eager" and "sdpa" alone, and pass it as indices to others.
_UNSUPPORTED = ("indices", "block_indices")


def register() -> None:
    """Register attention and mask under the name "zeta". Repeating it does no harm."""
    AttentionInterface.register("zeta", zeta_attention)
    AttentionMaskInterface.register("zeta", sdpa_mask)


def zeta_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls for each attention layer.

    Shape:
        - query: `(batch, num_heads, seq_q, head_dim)`
        - key, value: `(batch, num_kv_heads, seq_k, head_dim)`
        - attention_mask: bool, broadcastable to `(batch, num_heads, seq_q, seq_k)`; sliding windows are in it
        - position_bias: broadcastable to the same; s_aux: `(num_heads)`, the sinks
        - output: `(batch, seq_q, num_heads, head_dim)`

    Raises:
        NotImplementedError: the model asks for something that this formula does not have.
        TypeError: the mask is not bool.
    """
    for name in _UNSUPPORTED:
        if kwargs.get(name) is not None:
            raise NotImplementedError(
                f'attn_implementation="zeta": {type(module).__name__} needs {name}, which is not supported; '
                'use attn_implementation="eager"'
            )
    seq_q, seq_k = query.shape[2], key.shape[2]
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    causal = bool(is_causal) and attention_mask is None and seq_q > 1
    if causal and seq_k > seq_q:
        # The first tokens into an empty static cache: the mask function counts on alignment at the first key,
        # and what the cache has beyond the queries is not written yet.
        key, value = key[:, :, :seq_q], value[:, :, :seq_q]
        position_bias = None if position_bias is None else position_bias[..., :seq_q]
    out = flash_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        mask=attention_mask,
        softmax_scale=scaling,
        causal=causal,
        softcap=softcap or 0.0,
        bias=position_bias,
        sinks=None if s_aux is None else _score_dtype(s_aux, query),
        dropout_p=dropout,
    )
    return out, None


def _score_dtype(t: Tensor, query: Tensor) -> Tensor:
    return t if t.dtype == query.dtype else t.float()
