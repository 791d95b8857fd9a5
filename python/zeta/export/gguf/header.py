"""Between a LlamaForCausalLM's config.json and the values of a GGUF header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zeta.export.errors import ExportError
from zeta.export.gguf.llama import rope_factors

# Of Llama 3.1 and its successors; a file holds only the factors that come of them.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
# What llama.cpp's `general.file_type` calls the type of most weights.
_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32, "TQ1_0": 36, "TQ2_0": 37}
_REFUSED = ("expert_count", "attention.sliding_window", "logit_scale", "attention.scale", "residual_scale")


def complete(config: dict[str, Any], where: Path) -> dict[str, Any]:
    """config.json with the defaults that transformers gives the keys read here, and one way to say rotary.

    Raises:
        ExportError: of another architecture, or with rotary embeddings that a GGUF file does not hold.
    """
    architectures = config.get("architectures") or ["LlamaForCausalLM"]
    if config.get("model_type") != "llama" or architectures != ["LlamaForCausalLM"]:
        raise ExportError(
            f"{where}: expected LlamaForCausalLM, got {config.get('model_type')} {architectures}"
        )
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise ExportError(f"{where}: expected rotary embeddings of default or llama3, got {kind!r}")
    heads = config["num_attention_heads"]
    defaults = {
        "num_key_value_heads": heads,
        "head_dim": config["hidden_size"] // heads,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    }
    given = {key: value for key, value in config.items() if value is not None}
    return defaults | given | {"rope_parameters": rope | {"rope_type": kind}}


def header(config: dict[str, Any], name: str, type: str) -> dict[str, Any]:
    """The values that describe the model of a completed `config`, whose weights are mostly of `type`."""
    head_dim = int(config["head_dim"])
    return {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": name,
        "general.file_type": _FILE_TYPES[type],
        "general.quantization_version": 2,
        "llama.vocab_size": int(config["vocab_size"]),
        "llama.context_length": int(config["max_position_embeddings"]),
        "llama.embedding_length": int(config["hidden_size"]),
        "llama.block_count": int(config["num_hidden_layers"]),
        "llama.feed_forward_length": int(config["intermediate_size"]),
        "llama.attention.head_count": int(config["num_attention_heads"]),
        "llama.attention.head_count_kv": int(config["num_key_value_heads"]),
        "llama.attention.key_length": head_dim,
        "llama.attention.value_length": head_dim,
        "llama.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "llama.rope.dimension_count": head_dim,
        "llama.rope.freq_base": float(config["rope_parameters"]["rope_theta"]),
    }


def read_config(values: dict[str, Any], where: Path, factors: Tensor | None) -> dict[str, Any]:
    """A config.json from a header; `factors` are those of the file's `rope_freqs.weight`, if it has one.

    Raises:
        ExportError: of another architecture, a key is missing or of the wrong type, or changes results in a way
            that config.json cannot say.
    """

    def number(key: str, default: float | None = None) -> Any:
        value = values.get(f"llama.{key}", default)
        if type(value) not in (int, float) or not value > 0:
            raise ExportError(f"{where}: expected llama.{key} to be a positive number, got {value!r}")
        return value

    if values.get("general.architecture") != "llama":
        raise ExportError(
            f"{where}: expected the architecture llama, got {values.get('general.architecture')!r}"
        )
    for key in _REFUSED:
        if values.get(f"llama.{key}"):
            raise ExportError(f"{where}: llama.{key} = {values[f'llama.{key}']!r} is not supported")
    if values.get("llama.rope.scaling.type", "none") != "none":
        raise ExportError(
            f"{where}: rope.scaling.type {values['llama.rope.scaling.type']!r} is not supported"
        )
    heads = number("attention.head_count")
    head_dim = number("attention.key_length", number("embedding_length") // heads)
    if any(number(key, head_dim) != head_dim for key in ("attention.value_length", "rope.dimension_count")):
        raise ExportError(f"{where}: expected value_length and rope.dimension_count of key_length {head_dim}")
    rope = {"rope_type": "default", "rope_theta": number("rope.freq_base", 10000.0)}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": number("embedding_length"),
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": number("attention.layer_norm_rms_epsilon"),
        "rope_parameters": rope if factors is None else _llama3(rope, factors, head_dim, where),
    }


def _llama3(rope: dict[str, Any], factors: Tensor, head_dim: int, where: Path) -> dict[str, Any]:
    scaled = rope | _LLAMA3 | {"rope_type": "llama3", "factor": float(factors.max())}
    expected = rope_factors(scaled, head_dim)
    if factors.shape != expected.shape or not torch.allclose(factors, expected, rtol=1e-4):
        raise ExportError(f"{where}: rope_freqs.weight is none of Llama 3's scalings; it is not supported")
    return scaled
