"""What became of a model's layers: sizes and errors, to print or to compute with."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from zeta.quant.precision import FP8, INT2, INT8, PRECISIONS


class LayerReport(NamedTuple):
    """One linear layer that was quantised.

    Attributes:
        name: in the model.
        in_features, out_features: its shape.
        precision: any of `BitLinear`'s.
        method: `"qat"` (training goes on), `"rtn"` or `"gptq"`.
        bytes_before: of its weight as it was.
        bytes_after: of codes and scales, packed as a model folder stores them.
        weight_error: ‖W − Ŵ‖ / ‖W‖, Frobenius; None where it was not computed.
        output_error: ‖(W − Ŵ)X‖ / ‖WX‖ over the calibration data, with the layer's inputs X as the layers
            before it, already quantised, gave them; None without calibration data.
    """

    name: str
    in_features: int
    out_features: int
    precision: str
    method: str
    bytes_before: int
    bytes_after: int
    weight_error: float | None = None
    output_error: float | None = None

    @property
    def bits(self) -> float:
        """A weight, scales included."""
        return 8 * self.bytes_after / (self.in_features * self.out_features)


class QuantizationReport(list[LayerReport]):
    """A report per layer, in the model's order; as a string, a table for people."""

    @property
    def bytes_before(self) -> int:
        return sum(layer.bytes_before for layer in self)

    @property
    def bytes_after(self) -> int:
        return sum(layer.bytes_after for layer in self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Plain data, as for JSON."""
        return [layer._asdict() | {"bits": layer.bits} for layer in self]

    def __str__(self) -> str:
        width = max([len(layer.name) for layer in self] + [5])
        head = f"{'layer':{width}} {'shape':>13} {'method':>6} {'bits':>6} {'before':>9} {'after':>9}"
        rows = [f"{head} {'weight error':>12} {'output error':>12}"]
        for layer in self:
            shape = f"{layer.out_features} × {layer.in_features}"
            rows.append(
                f"{layer.name:{width}} {shape:>13} {layer.method:>6} {layer.bits:6.2f} {_bytes(layer.bytes_before)}"
                f" {_bytes(layer.bytes_after)} {_error(layer.weight_error)} {_error(layer.output_error)}"
            )
        total = (
            f"{len(self)} layers: {_bytes(self.bytes_before).strip()} → {_bytes(self.bytes_after).strip()}"
        )
        return "\n".join([*rows, total])


def packed_bytes(
    in_features: int, out_features: int, precision: str, group_size: int, dtype: torch.dtype
) -> int:
    """Bytes of a weight's codes and scales in a model folder; `dtype` is the weight's."""
    weights = in_features * out_features
    if PRECISIONS[precision].grouped:
        return weights // 2 + 2 * weights // group_size
    if precision in (INT8, FP8):
        return weights + 2 * out_features
    return weights // 4 + (2 * out_features if precision == INT2 else dtype.itemsize)


def _bytes(count: int) -> str:
    number = float(count)
    for unit in ("B ", "kB", "MB"):
        if number < 1000:
            return f"{number:6.4g} {unit}"
        number /= 1000
    return f"{number:6.4g} GB"


def _error(error: float | None) -> str:
    return f"{'' if error is None else f'{error:.4f}':>12}"
