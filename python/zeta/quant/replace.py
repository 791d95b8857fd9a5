"""Swapping the linear layers of any model for quantised ones."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from zeta.quant.bitlinear import BitLinear
from zeta.quant.precision import DEFAULT_GROUP_SIZE, TERNARY, check_features, check_precision


class Replaced(NamedTuple):
    """One layer that `replace_linear` swapped."""

    name: str
    in_features: int
    out_features: int


def replace_linear(
    model: nn.Module,
    precision: str = TERNARY,
    group_size: int = DEFAULT_GROUP_SIZE,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] = ("lm_head",),
) -> list[Replaced]:
    """Swap every `nn.Linear` of a model for `BitLinear`, in place.

    Parameters are kept as they are, the same objects: values, dtype, device, ties and ZeRO-3's marks.
    Subclasses of `nn.Linear` are left alone, since their forward may differ. Either every chosen layer is
    swapped or, on an error, none.

    Args:
        model: any module; also a single layer's parent.
        precision: `"1.58bit"`, `"4bit"` or `"fp8"`.
        group_size: input features that share a scale under `"4bit"`.
        include: shell patterns (`fnmatch`) of dotted names, each for a whole name or for its end after a
            dot: `"lm_head"` means `model.lm_head` too, `"layers.*.mlp.*"` all below. None: all layers.
        exclude: patterns of layers to leave, even if included.
    Returns:
        The layers that were swapped, in the order of `model.named_modules()`.
    Raises:
        ValueError: unknown precision; a `group_size` that does not divide a layer's `in_features` (the layer
            is named); or nothing to swap.
    """
    check_precision(precision)
    include, exclude = None if include is None else _patterns(include), _patterns(exclude)
    linears = {name: module for name, module in model.named_modules() if type(module) is nn.Linear and name}
    chosen = {
        name: linear
        for name, linear in linears.items()
        if (include is None or _matches(name, include)) and not _matches(name, exclude)
    }
    if not chosen:
        raise ValueError(
            f"no nn.Linear to replace in {type(model).__name__}: it has {len(linears)}"
            f"{' (' + ', '.join(list(linears)[:5]) + ' …)' if linears else ''}, "
            f"include={include}, exclude={exclude}"
        )
    for name, linear in chosen.items():
        try:
            check_features(linear.in_features, precision, group_size)
        except ValueError as error:
            raise ValueError(f"{name}: {error}, or exclude the layer") from None
    for linear in chosen.values():
        BitLinear.from_linear(linear, precision, group_size)
    _leave_fused_inference(model)
    return [Replaced(name, linear.in_features, linear.out_features) for name, linear in chosen.items()]


def _leave_fused_inference(model: nn.Module) -> None:
    """torch's encoder layers have a fused inference path that reads `linear1.weight` past its forward."""
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
        elif isinstance(module, nn.TransformerEncoderLayer):
            if isinstance(module.linear1, BitLinear) or isinstance(module.linear2, BitLinear):
                module.activation_relu_or_gelu = 0  # torch takes the fused path for relu and gelu only


def _patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}") for pattern in patterns)
