"""Swapping the linear layers of any model for quantised ones."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from zeta.quant.bitlinear import BitLinear
from zeta.quant.fused_inference import leave_fused_inference
from zeta.quant.precision import DEFAULT_GROUP_SIZE, TERNARY, check_precision
from zeta.quant.report import LayerReport, QuantizationReport, packed_bytes
from zeta.quant.selection import check_layers, select_linear


def replace_linear(
    model: nn.Module,
    precision: str = TERNARY,
    group_size: int = DEFAULT_GROUP_SIZE,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] = ("lm_head",),
) -> QuantizationReport:
    """Swap every `nn.Linear` of a model for `BitLinear`, in place.

    Parameters are kept as they are, the same objects: values, dtype, device, ties and ZeRO-3's marks.
    Subclasses of `nn.Linear` are left alone, since their forward may differ. Either every chosen layer is
    swapped or, on an error, none.

    Args:
        model: any module; also a single layer's parent.
        precision: any of `BitLinear`'s.
        group_size: input features that share a scale under `"4bit"` and `"w4a8"`.
        include: shell patterns (`fnmatch`) of dotted names, each for a whole name or for its end after a
            dot: `"lm_head"` means `model.lm_head` too, `"layers.*.mlp.*"` all below. None: all layers.
        exclude: patterns of layers to leave, even if included.
    Returns:
        The layers that were swapped, in the order of `model.named_modules()`, with their sizes before and
            once exported.
    Raises:
        ValueError: unknown precision; a `group_size` that does not divide a layer's `in_features` (the layer
            is named); or nothing to swap.
    """
    check_precision(precision)  # before the model is looked at: the likelier mistake
    layers = select_linear(model, include, exclude)
    check_layers(layers, precision, group_size)
    for linear in layers.values():
        BitLinear.from_linear(linear, precision, group_size)
    leave_fused_inference(model, BitLinear)
    return QuantizationReport(_report(*item, precision, group_size) for item in layers.items())


def _report(name: str, linear: nn.Linear, precision: str, group_size: int) -> LayerReport:
    shape, dtype = (linear.in_features, linear.out_features), linear.weight.dtype
    before = shape[0] * shape[1] * dtype.itemsize  # not the weight's own size: ZeRO-3 leaves it empty
    return LayerReport(
        name, *shape, precision, "qat", before, packed_bytes(*shape, precision, group_size, dtype)
    )
