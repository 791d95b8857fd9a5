"""Post-training quantisation of any model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zeta.quant.bitlinear import BitLinear
from zeta.quant.calibration import Calibration, blocks_of, ends_at
from zeta.quant.fp8_training import Float8Linear
from zeta.quant.fused_inference import leave_fused_inference
from zeta.quant.gptq import gptq
from zeta.quant.packed_layer import PackedLinear
from zeta.quant.precision import DEFAULT_GROUP_SIZE, FP8, INT4, PRECISIONS, check_precision
from zeta.quant.report import LayerReport, QuantizationReport, packed_bytes
from zeta.quant.selection import check_layers, select_linear
from zeta.quant.weight import quantize_weight

RTN, GPTQ = METHODS = ("rtn", "gptq")


def quantize(
    model: nn.Module,
    precision: str = INT4,
    method: str = RTN,
    calibration: Iterable[Any] | None = None,
    *,
    group_size: int = DEFAULT_GROUP_SIZE,
    percdamp: float = 0.01,
    act_order: bool = False,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] = ("lm_head",),
    progress: bool = True,
) -> QuantizationReport:
    """Quantise the linear layers of a trained model, in place: each becomes a `PackedLinear`.

    `"rtn"` rounds each weight to the nearest code. `"gptq"` (arXiv 2210.17323) makes good what rounding a column
    did to the layer's output over the calibration data; it goes through the model block by block, each seeing
    what those before it, quantised, give. Memory holds, beside the model, in_features² floats for each layer of
    one block. A layer that the calibration data does not reach is rounded to nearest. Layers are those of type
    `nn.Linear`, `Float8Linear`, and `BitLinear`, which `"rtn"` packs as its training saw it.

    Args:
        model: any module, transformers models too; not one that ZeRO-3 or FSDP has partitioned.
        precision: `"4bit"`; with `"rtn"` also `"w4a8"`, `"8bit"`, `"fp8"`, or fewer bits, which only a model
            trained for them survives.
        method: `"rtn"` or `"gptq"`.
        calibration: batches, gone through once for each block: each a mapping of keywords for the model's
            forward, a tuple or list of arguments, or a single argument. `"rtn"` needs none, and reports the
            output errors if given.
        group_size: input features that share a scale under `"4bit"` and `"w4a8"`.
        percdamp: for `"gptq"`: share of the mean of the Hessian's diagonal that is added to it.
        act_order: for `"gptq"`: columns in the order of their inputs' size.
        include: as for `replace_linear`.
        exclude: as for `replace_linear`.
        progress: show a progress bar where a terminal is.
    Returns:
        sizes and errors, layer by layer.
    Raises:
        ValueError: as `replace_linear`; unknown method; `"gptq"` with another precision than `"4bit"` or without
            data; a `BitLinear` that was trained for something else; a weight that is not finite or not here; all
            before the model is changed. Also calibration inputs that are not finite, when their block's turn
            comes: the blocks before it are quantised then.

    Example:
        >>> model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256))
        >>> report = quantize(model, "4bit", "gptq", [torch.randn(64, 256)], progress=False)
        >>> model[0]
        PackedLinear(in_features=256, out_features=512, bias=True, precision='4bit', group_size=128)
    """
    check_precision(precision)
    _check_method(method, precision, calibration, percdamp)
    layers = select_linear(model, include, exclude, (nn.Linear, BitLinear, Float8Linear))
    check_layers(layers, precision, group_size)
    _check_training(layers, precision, group_size)
    _check_weights(layers, precision)
    data = None if calibration is None else Calibration(model, calibration)
    calls = data.calls(layers) if data else []
    blocks = blocks_of(list(layers), calls)
    reports: dict[str, LayerReport] = {}
    with tqdm(total=len(layers), desc="quantising", unit="layer", disable=None if progress else True) as bar:
        for block, end in zip(blocks, ends_at(blocks, calls), strict=True):
            own = {name: layers[name] for name in block}
            hessians = data.hessians(own, None if end is None else layers[end]) if data else {}
            for name, linear in own.items():
                hessian = hessians.pop(name, None)
                how = method if hessian is not None else RTN
                with torch.autocast(linear.weight.device.type, enabled=False):
                    codes, scale = _codes(
                        name, linear, precision, how, group_size, percdamp, act_order, hessian
                    )
                    packed = PackedLinear(codes, scale, linear.bias, precision, linear.weight.dtype)
                    reports[name] = _report(name, linear, packed, how, group_size, hessian)
                _swap(model, linear, packed.train(linear.training))
                bar.update()
    leave_fused_inference(model, PackedLinear)
    return QuantizationReport(reports[name] for name in layers)


def _swap(model: nn.Module, linear: nn.Linear, packed: PackedLinear) -> None:
    """Wherever the model has `linear`, which may be under several names."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children would name it once
            if child is linear:
                setattr(parent, name, packed)


def _codes(
    name: str,
    linear: nn.Linear,
    precision: str,
    method: str,
    group_size: int,
    percdamp: float,
    act_order: bool,
    hessian: Tensor | None,
) -> tuple[Tensor, Tensor]:
    weight = linear.weight.detach()
    if method == RTN or hessian is None:
        return quantize_weight(weight, precision, group_size)
    try:
        return gptq(weight, hessian, group_size, percdamp, act_order)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


@torch.no_grad()
def _report(
    name: str, linear: nn.Linear, packed: PackedLinear, method: str, group_size: int, hessian: Tensor | None
) -> LayerReport:
    weight = linear.weight.float()
    lost = weight - packed.weight.float()
    shape = (linear.in_features, linear.out_features)
    size = packed_bytes(*shape, packed.precision, group_size, linear.weight.dtype)
    output_error = None if hessian is None else _ratio(_output(lost, hessian), _output(weight, hessian))
    return LayerReport(
        name, *shape, packed.precision, method, linear.weight.nbytes, size,
        _ratio(lost.norm().item(), weight.norm().item()), output_error,
    )  # fmt: skip


def _output(weight: Tensor, hessian: Tensor) -> float:
    """‖W X‖, Frobenius, from X Xᵀ."""
    return ((weight @ hessian) * weight).sum(dtype=torch.float64).clamp(min=0).sqrt().item()


def _ratio(error: float, whole: float) -> float:
    return error / whole if whole else 0.0


def _check_method(method: str, precision: str, calibration: object, percdamp: float) -> None:
    if method not in METHODS:
        raise ValueError(f"expected method to be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    if method == GPTQ and precision != INT4:
        raise ValueError(f"method 'gptq' quantises to {INT4!r} only, got {precision!r}")
    if method == GPTQ and calibration is None:
        raise ValueError("method 'gptq' needs calibration data, got None")
    if not 0 <= percdamp <= 1:
        raise ValueError(f"expected percdamp in [0, 1], got {percdamp}")


def _check_training(layers: dict[str, nn.Linear], precision: str, group_size: int) -> None:
    for name, linear in layers.items():
        if isinstance(linear, BitLinear):
            trained, wanted = (linear.precision, linear.group_size), (precision, group_size)
            if trained != wanted and (PRECISIONS[precision].grouped or trained[0] != precision):
                raise ValueError(f"{name}: was trained for {trained}, asked for {wanted}")


def _check_weights(layers: dict[str, nn.Linear], precision: str) -> None:
    for name, linear in layers.items():
        shape = (linear.out_features, linear.in_features)
        if linear.weight.is_meta or linear.weight.shape != shape:
            raise ValueError(f"{name}: expected a weight of {list(shape)} that is here, whole")
        if not linear.weight.isfinite().all():
            raise ValueError(f"{name}: its weight is not finite")
        if not (PRECISIONS[precision].grouped or precision == FP8) and linear.out_features % 4:
            raise ValueError(f"{name}: {precision} needs out_features to be a multiple of 4, got {shape[0]}")
