"""LlamaForCausalLM as llama.cpp calls and orders its tensors.

llama.cpp turns neighbouring elements of a head (0 with 1, 2 with 3, …) where transformers turns element i with
i + d/2. So the rows of `q_proj` and `k_proj` are stored in another order.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_MODEL = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_FROM_LAYER = {theirs: ours for ours, theirs in _LAYER.items()}
_FROM_MODEL = {theirs: ours for ours, theirs in _MODEL.items()}


def gguf_name(name: str) -> str | None:
    """`model.layers.3.mlp.up_proj.weight` → `blk.3.ffn_up.weight`; None for what has no place."""
    module, _, parameter = name.rpartition(".")
    if module in _MODEL:
        return f"{_MODEL[module]}.{parameter}"
    match = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", module)
    return f"blk.{match[1]}.{_LAYER[match[2]]}.{parameter}" if match and match[2] in _LAYER else None


def our_name(name: str) -> str | None:
    """Undo `gguf_name`."""
    module, _, parameter = name.rpartition(".")
    if module in _FROM_MODEL:
        return f"{_FROM_MODEL[module]}.{parameter}"
    match = re.fullmatch(r"blk\.(\d+)\.(.+)", module)
    if not match or match[2] not in _FROM_LAYER:
        return None
    return f"model.layers.{match[1]}.{_FROM_LAYER[match[2]]}.{parameter}"


def heads_of(name: str, config: dict[str, Any]) -> int | None:
    """The heads over whose rows the tensor of this name (ours) is reordered; None if it is not."""
    if ".self_attn.q_proj." in name:
        return int(config["num_attention_heads"])
    return int(config["num_key_value_heads"]) if ".self_attn.k_proj." in name else None


def to_neighbours(rows: Tensor, heads: int) -> Tensor:
    """Rows in transformers' order → in llama.cpp's."""
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def from_neighbours(rows: Tensor, heads: int) -> Tensor:
    """Undo `to_neighbours`."""
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def rope_factors(rope: dict[str, Any], head_dim: int) -> Tensor:
    """What llama.cpp divides each rotary frequency by, float32 (head_dim / 2), for Llama 3.1's scaling."""
    factor, low, high = (float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    context = float(rope["original_max_position_embeddings"])
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
    wavelengths = 2 * torch.pi * float(rope["rope_theta"]) ** exponents
    smooth = ((context / wavelengths - low) / (high - low)).clamp(0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).float()
