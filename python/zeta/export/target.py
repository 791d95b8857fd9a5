"""How a model is to be stored: decided from how it was trained and what the user asks for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zeta.export.eight_bits import EightBits
from zeta.export.errors import ExportError
from zeta.export.form import Form
from zeta.export.int2 import Int2
from zeta.export.int4 import Int4, W4A8Int4
from zeta.export.skeleton import Skeleton
from zeta.export.source import NONE, Source
from zeta.export.ternary import Ternary
from zeta.quant.precision import BINARY, FP8, INT2, INT4, INT8, KNOWN, TERNARY, W4A8

PRECISIONS = (*KNOWN, NONE)


@dataclass(frozen=True)
class Target:
    """How linear layers are quantised, what stores them (None for `"none"`), and the dtype of the rest."""

    precision: str
    group_size: int
    dtype: torch.dtype
    form: Form | None


def choose_target(
    source: Source, precision: str | None, group_size: int | None, dtype: torch.dtype | None
) -> Target:
    """Complete what the user left open (None) with what `source` was trained with.

    Raises:
        ExportError: the wish contradicts the training or itself, or names no precision there is.
    """
    precision = precision or source.precision
    if precision not in PRECISIONS:
        raise ExportError(f"expected precision to be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if source.precision not in (NONE, precision):
        raise ExportError(
            f"{source.folder}: was trained for {source.precision}, asked for {precision}; leave the "
            f"precision out, or train with bitlinear_precision={precision}"
        )
    if group_size is None:
        group_size = source.group_size
    elif precision not in (INT4, W4A8):
        raise ExportError(
            f"group_size {group_size} was asked for, but only {INT4} and {W4A8} have one, not {precision}"
        )
    if source.precision in (INT4, W4A8) and group_size != source.group_size:
        raise ExportError(
            f"{source.folder}: was trained with group_size {source.group_size}, asked for {group_size}"
        )
    forms: dict[str, Form] = {
        BINARY: Ternary(),
        TERNARY: Ternary(),
        INT2: Int2(),
        INT4: Int4(group_size),
        W4A8: W4A8Int4(group_size),
        INT8: EightBits("int"),
        FP8: EightBits("float"),
    }
    form = forms.get(precision)
    return Target(precision, group_size, dtype or source.dtype, form)


def check_layers(target: Target, skeleton: Skeleton) -> None:
    """Check that every linear layer fits the form.

    Raises:
        ExportError: names the first layer that does not, or that there is none to pack.
    """
    if target.form is None:
        return
    if not skeleton.linear:
        raise ExportError(
            f"{skeleton.architecture} has no linear layers to pack; export it with precision {NONE}"
        )
    for name, shape in skeleton.shapes.items():
        layer, _, parameter = name.rpartition(".")
        if parameter == "weight" and layer in skeleton.linear:
            target.form.check(layer, shape, has_bias=f"{layer}.bias" in skeleton.shapes)


def note_on_rounding(source: Source, target: Target) -> list[str]:
    """What to tell the user if the training did not know of the quantisation."""
    if source.precision != NONE or target.precision == NONE:
        return []
    return [
        f"{source.folder} was trained without quantisation; rounding to {target.precision} costs accuracy"
    ]
