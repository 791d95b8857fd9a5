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
    causal: bool = False, window: tuple[int, int] = (-1, -1), softcap: float = 0.0, bias: Tensor | None = None,
    alibi_slopes: Tensor | None = None, sinks: Tensor | None = None, dropout_p: float = 0.0,
    rng_state: Tensor | None = None, deterministic: bool = False, q_descale: Tensor | None = None,
    k_descale: Tensor | None = None, v_descale: Tensor | None = None, return_lse: Literal[False] = False,
) -> Tensor: ...  # fmt: skip
@overload
def flash_attention(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, softmax_scale: float | None = None,
    causal: bool = False, window: tuple[int, int] = (-1, -1), softcap: float = 0.0, bias: Tensor | None = None,
    alibi_slopes: Tensor | None = None, sinks: Tensor | None = None, dropout_p: float = 0.0,
    rng_state: Tensor | None = None, deterministic: bool = False, q_descale: Tensor | None = None,
    k_descale: Tensor | None = None, v_descale: Tensor | None = None, return_lse: Literal[True],
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def flash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    bias: Tensor | None = None,
    alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None,
    dropout_p: float = 0.0,
    rng_state: Tensor | None = None,
    deterministic: bool = False,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Exact attention, `softmax(softmax_scale · q kᵀ) v`, in memory linear in the sequence.

    Shape:
        - q: `(batch, seq_q, num_heads, head_dim)`
        - k: `(batch, seq_k, num_kv_heads, head_dim)`
        - v: `(batch, seq_k, num_kv_heads, value_dim)`
        - mask, bias: broadcastable to `(batch, num_heads, seq_q, seq_k)`
        - q_descale, k_descale, v_descale: broadcastable to `(batch, num_kv_heads)`
        - output: `(batch, seq_q, num_heads, value_dim)`, and lse `(batch, num_heads, seq_q)`

    Args:
        q, k, v: float32, bfloat16, float16, float64 or float8_e4m3fn, all alike; any strides. `num_kv_heads` divides
            `num_heads`: fewer key heads are shared by groups of query heads (GQA, MQA). Head dimensions are
            at most 256.
        mask: bool, true where a query may attend; a row that may attend nothing gives 0.
        softmax_scale: `head_dim ** -0.5` where None.
        causal: query `i` sees keys up to `i + seq_k - seq_q` (aligned bottom-right); joins the mask.
        window: how many keys before and after its own position, `i + seq_k - seq_q`, query `i` sees; -1 for
            no limit. Joins mask and causality; keys that no query of a block sees cost nothing.
        softcap: where above 0, scores become `softcap * tanh(scores / softcap)`, before bias and ALiBi.
        bias: added to the scores, of q's dtype or float32; with gradient, summed over what it broadcasts.
        alibi_slopes: `(num_heads)` or `(batch, num_heads)`, float32: `slope · |i + seq_k - seq_q - j|` is
            subtracted from the score of key `j`. No gradient.
        sinks: `(num_heads)`, of q's dtype or float32: a score beside those of the keys that has no value; with
            gradient. lse counts it.
        dropout_p: the chance that a probability is dropped, in steps of 1 / 65536; the others are scaled up.
        rng_state: int64 `(2)`, seed and offset, on q's device; the same state drops the same, whatever the
            device, threads and dtype. Drawn from torch's generator where None.
        deterministic: gradients that are the same in every run, on devices where that is slower. On the CPU they
            always are.
        q_descale, k_descale, v_descale: float32, for float8 operands (`zeta.quant.quantize_attention` makes both):
            positive numbers that these are multiplied by, 1 where None. The output is bfloat16. float8 is for
            inference, and goes with `softmax_scale`, `causal` and `return_lse` alone; on Hopper, up to head
            dimension 128, probabilities are rounded to float8 too.
        return_lse: also return the natural log-sum-exp of each row's scores, fp32 (float64 for float64). No
            gradient flows through it.

    Raises:
        ValueError: a shape or a number does not fit.
        TypeError: a dtype does not fit.
        NotImplementedError: under `torch.func.vmap`, and where a float8 operand requires grad.
        RuntimeError: on double backward.

    References:
        Dao et al., FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness, 2022.
        Ainslie et al., GQA: Training Generalized Multi-Query Transformer Models, 2023.
        Press et al., Train Short, Test Long: Attention with Linear Biases, 2021.
        Shah et al., FlashAttention-3: Fast and Accurate Attention with Asynchrony and Low-precision, 2024.
        docs/design/attention.md: the formula with all options.
    """
    if softmax_scale is None:
        softmax_scale = max(q.shape[-1], 1) ** -0.5
    descales = {"q_descale": q_descale, "k_descale": k_descale, "v_descale": v_descale}
    if q.dtype == torch.float8_e4m3fn:
        options = {
            "mask": mask is not None, "window": tuple(window) != (-1, -1), "softcap": softcap != 0,
            "bias": bias is not None, "alibi_slopes": alibi_slopes is not None, "sinks": sinks is not None,
            "dropout_p": dropout_p != 0,
        }  # fmt: skip
        for name, given in options.items():
            if given:
                raise ValueError(f"flash_attention: expected no {name} with q of float8_e4m3fn")
        out, lse = torch.ops.zeta.flash_attention_fp8.default(
            q, k, v, q_descale, k_descale, v_descale, softmax_scale, causal
        )
        return (out, lse) if return_lse else out
    for name, descale in descales.items():
        if descale is not None:
            raise TypeError(f"flash_attention: expected {name} only with q of float8_e4m3fn, got {q.dtype}")
    if dropout_p and rng_state is None:
        rng_state = draw_rng_state(q.device)
    out, lse = torch.ops.zeta.flash_attention_forward.default(
        q, k, v, mask, softmax_scale, causal, *window, softcap, bias, alibi_slopes, sinks, dropout_p, rng_state,
        deterministic,
    )  # fmt: skip
    return (out, lse) if return_lse else out


@overload
def flash_attention_varlen(
    q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, max_seqlen_q: int,
    max_seqlen_k: int, *, softmax_scale: float | None = None, causal: bool = False,
    window: tuple[int, int] = (-1, -1), softcap: float = 0.0, alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None, dropout_p: float = 0.0, rng_state: Tensor | None = None,
    deterministic: bool = False, return_lse: Literal[False] = False,
) -> Tensor: ...  # fmt: skip
@overload
def flash_attention_varlen(
    q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, max_seqlen_q: int,
    max_seqlen_k: int, *, softmax_scale: float | None = None, causal: bool = False,
    window: tuple[int, int] = (-1, -1), softcap: float = 0.0, alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None, dropout_p: float = 0.0, rng_state: Tensor | None = None,
    deterministic: bool = False, return_lse: Literal[True],
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def flash_attention_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    *,
    softmax_scale: float | None = None,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None,
    dropout_p: float = 0.0,
    rng_state: Tensor | None = None,
    deterministic: bool = False,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """`flash_attention` on each of several sequences that are packed one behind the other, without padding.

    Shape:
        - q: `(total_q, num_heads, head_dim)`
        - k: `(total_k, num_kv_heads, head_dim)`
        - v: `(total_k, num_kv_heads, value_dim)`
        - cu_seqlens_q, cu_seqlens_k: `(sequences + 1)`
        - output: `(total_q, num_heads, value_dim)`, and lse `(num_heads, total_q)`

    Args:
        cu_seqlens_q, cu_seqlens_k: int32, on q's device: sequence `s` is rows `cu_seqlens[s]` to
            `cu_seqlens[s + 1]`. They begin with 0, never fall, and end with the number of rows; they are read
            and checked before anything is computed.
        max_seqlen_q, max_seqlen_k: no sequence is longer.
        alibi_slopes: `(num_heads)` or `(sequences, num_heads)`.
        The others: as in `flash_attention`, with positions and dropout counted within each sequence.

    Raises:
        As `flash_attention`; ValueError also where cu_seqlens do not fit.
    """
    if softmax_scale is None:
        softmax_scale = max(q.shape[-1], 1) ** -0.5
    if dropout_p and rng_state is None:
        rng_state = draw_rng_state(q.device)
    out, lse = torch.ops.zeta.flash_attention_varlen_forward.default(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, softmax_scale, causal, *window, softcap,
        alibi_slopes, sinks, dropout_p, rng_state, deterministic,
    )  # fmt: skip
    return (out, lse) if return_lse else out


@overload
def paged_attention(
    q: Tensor, k_cache: Tensor, v_cache: Tensor, block_table: Tensor, seq_lens: Tensor, *,
    k: Tensor | None = None, v: Tensor | None = None, cu_seqlens_q: Tensor | None = None,
    rotary_cos: Tensor | None = None, rotary_sin: Tensor | None = None, rotary_interleaved: bool = False,
    softmax_scale: float | None = None, causal: bool = True, window: tuple[int, int] = (-1, -1),
    softcap: float = 0.0, alibi_slopes: Tensor | None = None, sinks: Tensor | None = None,
    k_descale: Tensor | None = None, v_descale: Tensor | None = None, validate: bool = True,
    return_lse: Literal[False] = False,
) -> Tensor: ...  # fmt: skip
@overload
def paged_attention(
    q: Tensor, k_cache: Tensor, v_cache: Tensor, block_table: Tensor, seq_lens: Tensor, *,
    k: Tensor | None = None, v: Tensor | None = None, cu_seqlens_q: Tensor | None = None,
    rotary_cos: Tensor | None = None, rotary_sin: Tensor | None = None, rotary_interleaved: bool = False,
    softmax_scale: float | None = None, causal: bool = True, window: tuple[int, int] = (-1, -1),
    softcap: float = 0.0, alibi_slopes: Tensor | None = None, sinks: Tensor | None = None,
    k_descale: Tensor | None = None, v_descale: Tensor | None = None, validate: bool = True,
    return_lse: Literal[True],
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def paged_attention(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_table: Tensor,
    seq_lens: Tensor,
    *,
    k: Tensor | None = None,
    v: Tensor | None = None,
    cu_seqlens_q: Tensor | None = None,
    rotary_cos: Tensor | None = None,
    rotary_sin: Tensor | None = None,
    rotary_interleaved: bool = False,
    softmax_scale: float | None = None,
    causal: bool = True,
    window: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    validate: bool = True,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention to keys and values in pages of a shared cache: decoding, and prefill in chunks.

    Shape:
        - q: `(batch, seq_q, num_heads, head_dim)`, or packed `(total_q, num_heads, head_dim)` with cu_seqlens_q
        - k_cache: `(num_pages, page_size, num_kv_heads, head_dim)`
        - v_cache: `(num_pages, page_size, num_kv_heads, value_dim)`
        - block_table: `(batch, max_pages)`; seq_lens: `(batch)`; cu_seqlens_q: `(batch + 1)`
        - k, v: as q, with `num_kv_heads` (and `value_dim`)
        - rotary_cos, rotary_sin: `(positions, rotary_dim / 2)`
        - k_descale, v_descale: broadcastable to `(batch, num_kv_heads)`
        - output: as q with `value_dim`, and lse `(batch, num_heads, seq_q)` or `(num_heads, total_q)`

    Args:
        k_cache, v_cache: of q's dtype, or both float8_e4m3fn.
        block_table: int32; key `j` of sequence `b` is row `j % page_size` of page `block_table[b, j // page_size]`.
        seq_lens: int32; how many keys the cache holds of each sequence before this call.
        k, v: written behind them in place. A page that is written must belong to one sequence; pages may be shared
            for reading.
        cu_seqlens_q: int32, where the sequences have different numbers of queries.
        rotary_cos, rotary_sin: where given, q and k are rotated by their position: halves of the first
            `rotary_dim` dimensions as pairs, or neighbours with rotary_interleaved.
        causal: the last query stands at the last key, new ones included.
        k_descale, v_descale: float32, for a float8 cache: numbers read are multiplied by them, numbers written
            divided and clamped to ±448. 1 where None.
        validate: on a GPU, wait for it to check block_table, seq_lens, cu_seqlens_q and positions. Without, and
            always while a CUDA graph is captured, a sequence that they lead out of the cache gives NaN; nothing
            outside is read or written. On the CPU they are always checked.
        The others: as in `flash_attention`; alibi_slopes may be `(batch, num_heads)` for packed q too.

    Raises:
        As `flash_attention`; ValueError also for a page that the cache does not have or a length that the table
        does not hold, before anything is written. RuntimeError on backward.
    """
    if softmax_scale is None:
        softmax_scale = max(q.shape[-1], 1) ** -0.5
    out, lse = torch.ops.zeta.paged_attention.default(
        q, k_cache, v_cache, block_table, seq_lens, k, v, cu_seqlens_q, rotary_cos, rotary_sin, rotary_interleaved,
        softmax_scale, causal, *window, softcap, alibi_slopes, sinks, k_descale,
        v_descale, validate,
    )  # fmt: skip
    return (out, lse) if return_lse else out


def merge_attention_states(
    out_a: Tensor, lse_a: Tensor, out_b: Tensor, lse_b: Tensor
) -> tuple[Tensor, Tensor]:
    """Attention to two disjoint sets of keys, from out and lse of attention to each.

    Shape:
        - out_a, out_b: `(batch, seq_q, num_heads, value_dim)` or `(total_q, num_heads, value_dim)`
        - lse_a, lse_b: `(batch, num_heads, seq_q)` or `(num_heads, total_q)`
        - output: out and lse, alike

    At most one of the two may count a sink. Not differentiable, since lse is not.

    Raises:
        ValueError: a shape does not fit.
        TypeError: a dtype does not fit.
        RuntimeError: on backward.
    """
    return torch.ops.zeta.merge_attention_states.default(out_a, lse_a, out_b, lse_b)


def draw_rng_state(device: torch.device | str) -> Tensor:
    """A seed and an offset for dropout, int64 `(2)`, from torch's generator of the device."""
    return torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64, device=device)
