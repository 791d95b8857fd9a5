"""BitLinear's forward and gradients against the formula and against transformers."""

from __future__ import annotations

import copy

import pytest
import torch
from quant_formulas import (
    GROUP,
    PRECISIONS,
    ROUNDOFF,
    activation_used,
    assert_within,
    exact,
    normal,
    weight_used,
)
from transformers.integrations.bitnet import AutoBitLinear

from zeta.quant import BitLinear, pack_ternary, quantize_weight

DTYPES = tuple(ROUNDOFF)
IN, OUT = 96, 40


def make(
    precision: str, dtype: torch.dtype = torch.float32, bias: bool = True, device: str = "cpu"
) -> BitLinear:
    torch.manual_seed(0)
    return BitLinear(IN, OUT, bias=bias, precision=precision, group_size=GROUP, dtype=dtype).to(device)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_forward_is_the_formula(precision: str, bias: bool, dtype: torch.dtype, device: str) -> None:
    layer, x = make(precision, dtype, bias, device), normal(3, 5, IN, seed=1, dtype=dtype, device=device)
    y = layer(x)
    assert y.dtype == dtype and y.shape == (3, 5, OUT) and y.is_contiguous()
    used, weight = activation_used(x, precision), weight_used(layer.weight, precision)
    expected = used @ weight.T + (exact(layer.bias) if bias else 0)
    # Integers: the product is exact (without a kernel it has IN + 1 roundings), then rounded to dtype, scaled in
    # fp32 (3 roundings) and rounded again.
    # 4-bit: Ŵ is rounded once, the sum has IN + 1 roundings of fp32 at worst and 2 of dtype.
    # fp8: a sum of IN products and three roundings in fp32, and one of dtype; Hopper's tensor cores add 32 products
    # at a time to the sum, in numbers of 13 bits below the greatest: IN / 32 + 1 errors of 2⁻¹³ of the terms.
    # (float64 layers take scales that are rounded to fp32, exactly as the formula here does.)
    u = ROUNDOFF[dtype]
    wide = max(u, ROUNDOFF[torch.float32])
    terms = used.abs() @ weight.abs().T + expected.abs()
    sums = (IN + 1) * min(wide, u + 2**-24)
    if precision == "fp8" and device == "cuda" and dtype != torch.float64:
        sums = (IN / 32 + 1) * 2.0**-13
    assert_within(y, expected, (3 * u + 4 * wide) * expected.abs() + (u + sums) * terms)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_are_straight_through(precision: str, dtype: torch.dtype, device: str) -> None:
    layer = make(precision, dtype, device=device)
    x = normal(17, IN, seed=2, dtype=dtype, device=device).requires_grad_()
    grad = normal(17, OUT, seed=3, dtype=dtype, device=device)
    layer(x).backward(grad)
    used, weight, g = activation_used(x, precision), weight_used(layer.weight, precision), exact(grad)
    # Operands are rounded to dtype once, results once; x̂ has one more rounding in fp32. n products are summed
    # with n roundings of fp32 (of dtype for float64).
    u = ROUNDOFF[dtype]
    sums = min(u, ROUNDOFF[torch.float32])
    extra = ROUNDOFF[torch.float32]
    assert_within(x.grad, g @ weight, (2 * u + OUT * sums) * (g.abs() @ weight.abs()) + 1e-30)
    assert_within(
        layer.weight.grad, g.T @ used, (2 * u + 17 * sums + extra) * (g.abs().T @ used.abs()) + 1e-30
    )
    assert_within(layer.bias.grad, g.sum(0), (u + 17 * sums) * g.abs().sum(0))
    assert (x.grad.dtype, layer.weight.grad.dtype, layer.bias.grad.dtype) == (dtype,) * 3


def test_ternary_is_transformers_online_autobitlinear(device: str) -> None:
    ours = make("1.58bit", device=device)
    theirs = AutoBitLinear(IN, OUT, bias=True, online_quant=True).to(device)
    theirs.load_state_dict(ours.state_dict())
    x = normal(64, IN, seed=4, device=device).requires_grad_()
    grad = normal(64, OUT, seed=5, device=device)
    x2 = x.detach().clone().requires_grad_()
    with torch.compiler.set_stance("force_eager"):
        expected = theirs(x2)
    y = ours(x)
    expected.backward(grad)
    y.backward(grad)
    # Codes are the same; their fp32 sums of n products have n roundings, and the operands a few each.
    u, used, weight = (
        ROUNDOFF[torch.float32],
        activation_used(x, "1.58bit"),
        weight_used(ours.weight, "1.58bit"),
    )
    g = exact(grad).abs()
    assert_within(y, exact(expected), (IN + 32) * u * (used.abs() @ weight.abs().T + 1))
    assert_within(x.grad, exact(x2.grad), 2 * (OUT + 16) * u * (g @ weight.abs()))
    assert_within(ours.weight.grad, exact(theirs.weight.grad), 2 * (64 + 16) * u * (g.T @ used.abs()))
    torch.testing.assert_close(
        ours.bias.grad, theirs.bias.grad, rtol=0, atol=64 * u * grad.abs().sum(0).max().item()
    )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("lead", [(), (1,), (0,), (2, 0, 3), (2, 3, 4)])
def test_leading_dimensions(precision: str, lead: tuple[int, ...], device: str) -> None:
    layer, x = make(precision, device=device), normal(*lead, IN, seed=6, device=device).requires_grad_()
    y = layer(x)
    assert y.shape == (*lead, OUT)
    if y.numel():
        # Batches of other sizes may be summed in another order.
        flat = layer(x.reshape(-1, IN)).reshape(y.shape)
        torch.testing.assert_close(
            y, flat, rtol=0, atol=2 * IN * ROUNDOFF[torch.float32] * y.abs().max().item()
        )
    y.sum().backward()
    assert x.grad.shape == x.shape and layer.weight.grad.shape == layer.weight.shape


@pytest.mark.parametrize("precision", PRECISIONS)
def test_strided_input(precision: str, device: str) -> None:
    layer, x = make(precision, device=device), normal(IN, 2, 7, seed=7, device=device)
    assert torch.equal(layer(x.permute(2, 1, 0)), layer(x.permute(2, 1, 0).contiguous()))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_asked_gradients_are_computed(precision: str, device: str) -> None:
    layer, x = make(precision, device=device), normal(4, IN, seed=8, device=device)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_frozen_weight_keeps_nothing_of_x(precision: str, device: str) -> None:
    layer, grad = make(precision, device=device), normal(3, 4, OUT, seed=9, device=device)
    x = normal(3, 4, IN, seed=8, device=device).requires_grad_()
    layer(x).backward(grad)
    expected, x.grad = x.grad, None
    layer.weight.requires_grad_(False)
    kept: list[torch.Size] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = layer(x)
    y.backward(grad)
    assert kept == [layer.weight.shape]
    assert torch.equal(x.grad, expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_backward_quantises_the_weight_that_is_there_now(precision: str, device: str) -> None:
    """ZeRO-3 frees `param.data` after the forward and brings it back, elsewhere, before the backward."""
    layer, x = make(precision, device=device), normal(4, IN, seed=9, device=device).requires_grad_()
    layer(x).sum().backward()
    expected = x.grad.clone()
    x.grad = None
    y = layer(x)
    values = layer.weight.data.clone()
    layer.weight.data = torch.empty(0, device=device)
    layer.weight.data = values
    y.sum().backward()
    assert torch.equal(x.grad, expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_large_float16_activations_stay_finite(precision: str, device: str) -> None:
    layer = BitLinear(1024, 8, precision=precision, dtype=torch.float16, device=device)
    with torch.no_grad():
        layer.weight.fill_(0.001)
    x = torch.full((2, 1024), 100.0, dtype=torch.float16, device=device)  # Σ q = 127 · 1024 > 65504
    assert layer(x).isfinite().all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nan_reaches_the_output(precision: str, device: str) -> None:
    layer, x = make(precision, device=device), normal(3, IN, seed=10, device=device)
    x[1, 50] = float("nan")
    y = layer(x)
    assert y[1].isnan().all() and y[[0, 2]].isfinite().all()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="'8bit', 'fp8', got '1.5bit'; did you mean '1.58bit'"):
        BitLinear(64, 64, precision="1.5bit")
    with pytest.raises(ValueError, match="multiple of group_size 128, got 96"):
        BitLinear(96, 64, precision="4bit")
    with pytest.raises(ValueError, match="positive multiple of 8, got 0"):
        BitLinear(96, 64, precision="4bit", group_size=0)
    layer = make("1.58bit")
    with pytest.raises(RuntimeError, match="expected x of 96 features, got 95"):
        layer(torch.zeros(2, 95))
    with pytest.raises(RuntimeError, match="got Half and Double"):
        make("1.58bit", torch.float64)(torch.zeros(2, IN, dtype=torch.float16))
    with pytest.raises(RuntimeError, match="bias of 40 features, got 39"):
        torch.ops.zeta.bitlinear(torch.zeros(2, IN), layer.weight, torch.zeros(39), "1.58bit", 32)
    with pytest.raises(RuntimeError, match=r"grad_out of \[2, 40\], got \[2, 41\]"):
        torch.ops.zeta.bitlinear_backward(
            torch.zeros(2, 41), torch.zeros(2, IN), layer.weight.detach(), "1.58bit", 32, [True, True, True]
        )
    codes, every = torch.zeros(2, IN, dtype=torch.int8), [True, True, True]
    for x, scale, precision, message in (
        (codes, torch.zeros(2), "4bit", "expected no x_scale"),
        (codes, torch.zeros(2), "fp8", "expected x of Float8_e4m3fn, as it comes with x_scale, got Char"),
        (codes, torch.zeros(3), "1.58bit", "one value a token of x"),
        (codes, torch.zeros(2).double(), "1.58bit", "x_scale of Float, got Double"),
    ):
        with pytest.raises(RuntimeError, match=message):
            torch.ops.zeta.bitlinear_backward(
                torch.zeros(2, OUT), x, layer.weight.detach(), precision, 32, every, scale
            )


def test_copies_and_state_dict_are_those_of_linear() -> None:
    layer, x = make("4bit"), normal(2, IN, seed=11)
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert layer.state_dict().keys() == torch.nn.Linear(IN, OUT).state_dict().keys()
    assert "precision='4bit', group_size=32" in repr(layer)


@torch.no_grad()
def test_serving_equals_training_bit_for_bit(device: str) -> None:
    layer, x = make("1.58bit", device=device), normal(9, IN, seed=12, device=device)
    codes, scale = quantize_weight(layer.weight, "1.58bit")
    served = torch.ops.zeta.packed_linear(x, pack_ternary(codes), scale, layer.bias, "ternary", OUT)
    assert torch.equal(served, layer(x))
