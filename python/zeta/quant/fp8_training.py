"""FP8 training: linear layers whose three products run on FP8 tensor cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from zeta.quant.fp8_blocks import multiply, quantize_blocks
from zeta.quant.fp8_recipe import RECIPES, check_gpu, check_recipe, check_sizes
from zeta.quant.fused_inference import leave_fused_inference
from zeta.quant.selection import select_linear

_E4M3 = torch.float8_e4m3fn


class Float8Linear(nn.Linear):
    """A drop-in for `torch.nn.Linear` that multiplies in FP8, forward and backward.

    The weight stays in full precision; it, the inputs and the gradients are quantised anew for each product, with
    scales from their own values, nothing carried from step to step. Unlike `BitLinear(precision="fp8")`, whose
    aim is a model that is served in FP8, this one's is speed: the gradients' products are in FP8 too. Under
    autocast the output is of its dtype; inputs and weight are quantised from their own values, not from cast ones.

    | recipe | x, weight | gradient of y | share a scale | scales |
    |---|---|---|---|---|
    | `"tensorwise"` | e4m3 | e5m2 | a tensor | as they are (torchao's) |
    | `"rowwise"` | e4m3 | e4m3 | a row of each product's operand | powers of two (torchao's) |
    | `"blockwise"` | e4m3 | e4m3 | 1 × 128 of x and gradients, 128 × 128 of weights | powers of two (DeepSeek's) |

    On CPU the same formula is computed in fp32.

    Args:
        in_features, out_features: multiples of 16, for `"blockwise"` of 128.
        bias, device, dtype: as for `nn.Linear`.
        recipe: as above.
    Raises:
        ValueError: unknown recipe, or sizes that are not such multiples.
        RuntimeError: when it comes to a GPU whose tensor cores cannot run the recipe.
    """

    recipe: str

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        recipe: str = "tensorwise",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_recipe(recipe)
        check_sizes(in_features, out_features, recipe)
        super().__init__(in_features, out_features, bias=bias, device=device, dtype=dtype)
        check_gpu(self.weight.device, recipe)
        self.recipe = recipe

    @classmethod
    def from_linear(cls, linear: nn.Linear, recipe: str = "tensorwise") -> Float8Linear:
        """Turn a layer of type `nn.Linear` itself, in place, into one that owns the very same parameters."""
        if type(linear) is not nn.Linear:
            raise TypeError(f"expected an nn.Linear, got {type(linear).__name__}")
        check_recipe(recipe)
        check_sizes(linear.in_features, linear.out_features, recipe)
        check_gpu(linear.weight.device, recipe)
        linear.__class__ = cls
        linear.recipe = recipe
        return linear

    def forward(self, input: Tensor) -> Tensor:
        device = input.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
        rows = input.reshape(-1, self.in_features)
        count = rows.shape[0]
        with torch.autocast(device, enabled=False):
            if count:
                padded = nn.functional.pad(rows, (0, 0, 0, -count % RECIPES[self.recipe].multiple))
                y = _Fp8Product.apply(padded, self.weight, self.recipe, dtype)[:count]
            else:  # nothing to find a scale of
                y = nn.functional.linear(rows.to(dtype), self.weight.to(dtype))
            y = y if self.bias is None else y + self.bias.to(dtype)
        return y.view(*input.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, recipe={self.recipe!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Float8Linear:
        super()._apply(fn, recurse)
        check_gpu(self.weight.device, self.recipe)
        return self


class _Fp8Product(torch.autograd.Function):
    """x · Wᵀ for x `(tokens, in_features)`, with gradients by FP8 products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, recipe: str, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.recipe = recipe
        r = RECIPES[recipe]
        a = quantize_blocks(x, r.activation, _E4M3, r.power_of_two)
        b = quantize_blocks(weight, r.weight, _E4M3, r.power_of_two)
        return multiply(a, b, dtype, fast=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        r = RECIPES[ctx.recipe]
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            a = quantize_blocks(grad, r.activation, r.gradient, r.power_of_two)
            b = quantize_blocks(weight.t(), r.weight, _E4M3, r.power_of_two)
            grad_x = multiply(a, b, grad.dtype, fast=False).to(x.dtype)
        if ctx.needs_input_grad[1]:
            a = quantize_blocks(grad.t(), r.activation, r.gradient, r.power_of_two)
            b = quantize_blocks(x.t(), r.activation, _E4M3, r.power_of_two)
            grad_weight = multiply(a, b, grad.dtype, fast=False).to(weight.dtype)
        return grad_x, grad_weight, None, None


def convert_to_fp8_training(
    model: nn.Module,
    recipe: str = "tensorwise",
    include: Iterable[str] | None = None,
    exclude: Iterable[str] = ("lm_head",),
    *,
    module_filter_fn: Callable[[nn.Module, str], bool] | None = None,
) -> nn.Module:
    """Turn every `nn.Linear` of a model into a `Float8Linear`, in place.

    Parameters stay the same objects. The quantisers are many small operations, which `torch.compile` fuses.
    Either every chosen layer is converted or, on an error, none.

    Args:
        model: any module; also a single layer's parent.
        recipe: `"tensorwise"`, `"rowwise"` or `"blockwise"`, see `Float8Linear`. Compiled,
            `"rowwise"` is not yet proven on a GPU (docs/benchmarks/gpu.md).
        include: as for `replace_linear`.
        exclude: as for `replace_linear`.
        module_filter_fn: as torchao's: called with each chosen layer and its name, true for those to convert.
    Returns:
        `model`.
    Raises:
        ValueError: unknown recipe; a layer whose sizes do not fit (it is named); or nothing to convert.
        RuntimeError: a layer is on a GPU that cannot run the recipe.
    """
    check_recipe(recipe)
    layers = select_linear(model, include, exclude)
    if module_filter_fn is not None:
        layers = {name: linear for name, linear in layers.items() if module_filter_fn(linear, name)}
        if not layers:
            raise ValueError("module_filter_fn chose no layer")
    for name, linear in layers.items():
        try:
            check_sizes(linear.in_features, linear.out_features, recipe)
        except ValueError as error:
            raise ValueError(f"{name}: {error}, or exclude the layer") from None
        check_gpu(linear.weight.device, recipe)
    for linear in layers.values():
        Float8Linear.from_linear(linear, recipe)
    leave_fused_inference(model, Float8Linear)
    return model
