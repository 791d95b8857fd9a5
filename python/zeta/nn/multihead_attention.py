"""Weights of `torch.nn.MultiheadAttention` for `zeta.nn.FlashAttention`, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_NAMES = ("q_proj", "k_proj", "v_proj")


def from_multihead_attention(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a FlashAttention with the weights of a MultiheadAttention's.

    Raises:
        ValueError: it has something that FlashAttention has not, as `add_bias_kv=True` or a `kdim` of its own.
    """
    known = {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}
    if unknown := sorted(state.keys() - known):
        raise ValueError(f"expected a MultiheadAttention of one embed_dim and without bias_kv, got {unknown}")
    if "in_proj_weight" not in state or "out_proj.weight" not in state:
        raise ValueError(f"expected in_proj_weight and out_proj.weight, got {sorted(state)}")
    result = {name: t for name, t in state.items() if name.startswith("out_proj.")}
    for kind in ("weight", "bias"):
        if f"in_proj_{kind}" in state:
            parts = state[f"in_proj_{kind}"].chunk(3)
            result |= {f"{name}.{kind}": part for name, part in zip(_NAMES, parts, strict=True)}
    return result


def to_multihead_attention(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a MultiheadAttention with the weights of a FlashAttention's.

    Raises:
        ValueError: it has fewer key heads than query heads, or projections that are not plain linear ones.
    """
    names = {f"{name}.weight" for name in (*_NAMES, "out_proj")}
    if not names <= state.keys() <= names | {n.replace("weight", "bias") for n in names}:
        raise ValueError(f"expected q_proj, k_proj, v_proj and out_proj of nn.Linear, got {sorted(state)}")
    shapes = {name: tuple(state[f"{name}.weight"].shape) for name in _NAMES}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"expected as many key heads as query heads, got projections of {shapes}")
    result = {name: t for name, t in state.items() if name.startswith("out_proj.")}
    for kind in ("weight", "bias"):
        if f"q_proj.{kind}" in state:
            result[f"in_proj_{kind}"] = torch.cat([state[f"{name}.{kind}"] for name in _NAMES])
    return result
