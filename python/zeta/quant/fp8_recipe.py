"""Recipes of FP8 training: what shares a scale, and in which dtype gradients are."""

from __future__ import annotations

import difflib
from typing import NamedTuple

import torch

Block = tuple[int | None, int | None]  # rows and columns that share a scale; None: all


class Fp8Recipe(NamedTuple):
    """How the operands of the three products of a linear layer are quantised.

    Each product is A · Bᵀ, where a scale never divides the last dimension, over which it sums, other than by 128s.

    Attributes:
        activation: block of x, and of the gradients of y.
        weight: block of the weight, in the forward and, transposed, in the gradient of x.
        gradient: dtype of the gradients of y; activations and weights are e4m3.
        power_of_two: whether scales are rounded up to powers of two, so that they round nothing themselves.
        multiple: what the layer's sizes must be a multiple of; tokens are padded to it.
        capability: of the GPUs that can run it: the lowest, and the highest.
    """

    activation: Block
    weight: Block
    gradient: torch.dtype
    power_of_two: bool
    multiple: int
    capability: tuple[tuple[int, int], tuple[int, int]]


_E4M3, _E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
_ANY = (99, 9)
RECIPES = {
    "tensorwise": Fp8Recipe((None, None), (None, None), _E5M2, False, 16, ((8, 9), _ANY)),
    "rowwise": Fp8Recipe((1, None), (1, None), _E4M3, True, 16, ((8, 9), _ANY)),
    "blockwise": Fp8Recipe((1, 128), (128, 128), _E4M3, True, 128, ((9, 0), (9, 0))),
}


def check_recipe(recipe: str) -> None:
    """Raises ValueError if there is no such recipe; the message names the nearest."""
    if recipe not in RECIPES:
        near = difflib.get_close_matches(str(recipe), RECIPES, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"expected recipe to be one of {', '.join(map(repr, RECIPES))}, got {recipe!r}{hint}"
        )


def check_sizes(in_features: int, out_features: int, recipe: str) -> None:
    """Raises ValueError if the tensor cores cannot multiply such a layer under `recipe`."""
    multiple = RECIPES[recipe].multiple
    for name, size in (("in_features", in_features), ("out_features", out_features)):
        if size % multiple or not size:
            raise ValueError(f"expected {name} to be a multiple of {multiple} for {recipe!r}, got {size}")


def check_gpu(device: torch.device, recipe: str) -> None:
    """Raises RuntimeError if `device` is a GPU that cannot run `recipe`. Other devices run its formula."""
    if device.type != "cuda":
        return
    lowest, highest = RECIPES[recipe].capability
    found = torch.cuda.get_device_capability(device)
    if not lowest <= found <= highest:
        wanted = f"{lowest[0]}.{lowest[1]}" + ("" if lowest == highest else " or more")
        raise RuntimeError(
            f"FP8 recipe {recipe!r} needs a GPU of compute capability {wanted}; "
            f"{torch.cuda.get_device_name(device)} has {found[0]}.{found[1]}"
        )
