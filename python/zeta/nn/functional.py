"""Functions on tensors; the layers of `zeta.nn` are made of them."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from zeta import _library

_library.load()


@overload
def flash_attention(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, softmax_scale: float | None = None,
    causal: bool = False, return_lse: Literal[False] = False,
) -> Tensor: ...  # fmt: skip
@overload
def flash_attention(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, softmax_scale: float | None = None,
    causal: bool = False, return_lse: Literal[True],
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def flash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Exact attention, `softmax(softmax_scale · q kᵀ) v`, in memory linear in the sequence.

    Shape:
        - q: `(batch, seq_q, num_heads, head_dim)`
        - k: `(batch, seq_k, num_kv_heads, head_dim)`
        - v: `(batch, seq_k, num_kv_heads, value_dim)`
        - mask: broadcastable to `(batch, num_heads, seq_q, seq_k)`
        - output: `(batch, seq_q, num_heads, value_dim)`, and lse `(batch, num_heads, seq_q)`

    Args:
        q, k, v: float32, bfloat16, float16 or float64, all alike; any strides. `num_kv_heads` divides
            `num_heads`: fewer key heads are shared by groups of query heads (GQA, MQA). Head dimensions are
            at most 256.
        mask: bool, true where a query may attend; a row that may attend nothing gives 0.
        softmax_scale: `head_dim ** -0.5` where None.
        causal: query `i` sees keys up to `i + seq_k - seq_q` (aligned bottom-right); joins the mask.
        return_lse: also return the natural log-sum-exp of each row's scores, fp32 (float64 for float64). No
            gradient flows through it.

    Raises:
        ValueError: a shape does not fit.
        TypeError: a dtype does not fit.
        NotImplementedError: under `torch.func.vmap`.
        RuntimeError: on double backward.

    References:
        Dao et al., FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness, 2022.
        Ainslie et al., GQA: Training Generalized Multi-Query Transformer Models, 2023.
    """
    if softmax_scale is None:
        softmax_scale = max(q.shape[-1], 1) ** -0.5
    out, lse = torch.ops.zeta.flash_attention_forward.default(q, k, v, mask, softmax_scale, causal)
    return (out, lse) if return_lse else out
