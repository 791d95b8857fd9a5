"""gptq against its definition, and against rounding to nearest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zeta.quant import quantize_weight
from zeta.quant.gptq import gptq


def correlated_inputs(features: int, rows: int, seed: int = 0) -> Tensor:
    """Inputs of a few strong directions and some noise, as layers see them."""
    torch.manual_seed(seed)
    directions = torch.randn(features // 8, features)
    return torch.randn(rows, features // 8) @ directions + 0.3 * torch.randn(rows, features)


def dequantized(codes: Tensor, scale: Tensor) -> Tensor:
    return (codes.float().unflatten(1, (scale.shape[1], -1)) * scale[:, :, None]).flatten(1)


def output_error(weight: Tensor, quantized: tuple[Tensor, Tensor], x: Tensor) -> float:
    return ((weight - dequantized(*quantized)) @ x.T).norm().item()


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("group_size", [8, 32, 128, 256])
@pytest.mark.parametrize("seed", range(3))
def test_less_output_error_than_rounding_on_inputs_not_seen(
    act_order: bool, group_size: int, seed: int
) -> None:
    x = correlated_inputs(256, 2048, seed)
    weight = torch.randn(48, 256)
    seen, unseen = x.chunk(2)
    codes, scale = gptq(weight, seen.T @ seen, group_size, act_order=act_order)
    assert codes.dtype == torch.int8 and codes.amin() >= -8 and codes.amax() <= 7
    assert scale.shape == (48, 256 // group_size)
    nearest = output_error(weight, quantize_weight(weight, "4bit", group_size), unseen)
    assert output_error(weight, (codes, scale), unseen) < 0.7 * nearest


@pytest.mark.parametrize("act_order", [False, True])
def test_uncorrelated_inputs_leave_nothing_to_make_good(act_order: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(16, 64)
    codes, scale = gptq(weight, torch.diag(torch.rand(64) + 0.5), 32, act_order=act_order)
    expected = quantize_weight(weight, "4bit", 32)
    assert torch.equal(codes, expected[0]) and torch.equal(scale, expected[1])


def test_each_column_is_the_best_given_those_before_it() -> None:
    """The definition, by least squares in float64: after a column is rounded, the rest moves to the minimum."""
    x = correlated_inputs(24, 200).double()
    hessian = x.T @ x
    hessian.diagonal().add_(0.01 * hessian.diagonal().mean())
    weight = torch.randn(4, 24)
    codes, scale = gptq(weight, (x.T @ x).float(), group_size=24, percdamp=0.01)
    expected = quantize_weight(weight, "4bit", 24)[1]
    assert torch.equal(scale, expected)
    w = weight.double()
    for column in range(24):
        sigma = scale[:, 0].double()
        exact = w[:, column] / sigma
        code = exact.round().clamp(-8, 7)
        # A tie within the float32 arithmetic of what is tested may fall either way.
        assert ((codes[:, column] - exact).abs() <= 0.5 + 1e-3).logical_or(codes[:, column] == code).all()
        error = w[:, column] - codes[:, column] * sigma
        rest = slice(column + 1, 24)
        w[:, rest] += torch.outer(error, torch.linalg.solve(hessian[rest, rest], hessian[rest, column]))


def test_inputs_that_are_always_zero() -> None:
    x = correlated_inputs(64, 256)
    x[:, 10:20] = 0
    weight = torch.randn(8, 64)
    codes, scale = gptq(weight, x.T @ x, 64)
    assert output_error(weight, (codes, scale), x) < output_error(
        weight, quantize_weight(weight, "4bit", 64), x
    )
    nearest = (weight[:, 10:20] / scale).round().clamp(-8, 7)
    assert torch.equal(codes[:, 10:20].float(), nearest)
    codes, scale = gptq(weight, torch.zeros(64, 64), 64)
    assert torch.equal(codes, quantize_weight(weight, "4bit", 64)[0])


def test_fewer_inputs_than_features_without_damping_are_damped_anyway() -> None:
    x = correlated_inputs(64, 8)
    weight = torch.randn(8, 64)
    quantized = gptq(weight, x.T @ x, 64, percdamp=0.0)
    assert output_error(weight, quantized, x) < output_error(weight, quantize_weight(weight, "4bit", 64), x)


def test_refuses_a_hessian_that_is_none() -> None:
    with pytest.raises(ValueError, match="not finite"):
        gptq(torch.randn(8, 64), torch.full((64, 64), torch.nan), 64)
    with pytest.raises(ValueError, match="raise percdamp"):
        gptq(torch.randn(8, 64), -torch.eye(64), 64)
