"""The model of every run: a Llama as zeta.train builds it, and what its linear layers become."""

from __future__ import annotations

import math

import plain_b158
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import zeta.nn  # noqa: F401  Registers the attention that the model names.
from zeta.quant import replace_linear

_HEAD_DIM = 64
_STD = 0.02


def build_model(
    hidden_size: int, num_layers: int, seq_len: int, vocab_size: int, seed: int
) -> LlamaForCausalLM:
    """On the CPU, so that a seed means the same weights on every machine."""
    heads = hidden_size // _HEAD_DIM
    config = LlamaConfig(
        vocab_size=vocab_size, hidden_size=hidden_size, num_hidden_layers=num_layers,
        num_attention_heads=heads, num_key_value_heads=max(heads // 2, 1),
        intermediate_size=hidden_size * 11 // 4, max_position_embeddings=seq_len,
        tie_word_embeddings=True, initializer_range=_STD, attn_implementation="zeta", use_cache=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.div_(math.sqrt(2 * num_layers))
    return model


def make_linear(model: nn.Module, kind: str) -> None:
    """Turns the decoder's linear layers into `kind`: `"bf16"` as they are, `"plain b1.58"`, or a precision."""
    if kind == "plain b1.58":
        plain_b158.replace_linear(model)
    elif kind != "bf16":
        replace_linear(model, kind)
