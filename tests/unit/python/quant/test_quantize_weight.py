"""Codes and scales against the formula, exactly."""

from __future__ import annotations

import pytest
import torch
from quant_formulas import GROUP, PRECISIONS, ROUNDOFF, normal, weight_codes

from zeta.quant import quantize_weight

DTYPES = tuple(ROUNDOFF)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(1, 32), (7, 96), (64, 160)])
def test_codes_are_the_formula(
    precision: str, dtype: torch.dtype, shape: tuple[int, int], device: str
) -> None:
    weight = normal(*shape, seed=1, scale=0.02, dtype=dtype, device=device)
    codes, scale = quantize_weight(weight, precision, GROUP)
    expected_codes, expected_scale = weight_codes(weight, precision)
    assert codes.dtype == (torch.float8_e4m3fn if precision == "fp8" else torch.int8)
    assert scale.dtype == torch.float32
    assert torch.equal(scale.cpu(), expected_scale)
    assert torch.equal(codes.cpu().float(), expected_codes)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_devices_without_kernels_agree(precision: str) -> None:
    """What CUDA runs is ATen, which runs on CPU tensors just as well."""
    weight = normal(16, 96, seed=2)
    codes, scale = torch.ops.zeta.quantize_weight.default._op_dk(
        torch._C.DispatchKey.CompositeExplicitAutograd, weight, precision, GROUP
    )
    expected_codes, expected_scale = quantize_weight(weight, precision, GROUP)
    assert torch.equal(scale, expected_scale)
    assert torch.equal(codes.float(), expected_codes.float())


def test_fp8_saturates_where_the_scale_was_rounded_down(device: str) -> None:
    # σ = 1 + 2⁻⁹ lies between two bfloat16s, nearer to 1.
    weight = torch.full((1, 8), 448 * (1 + 2.0**-9), device=device)
    codes, scale = quantize_weight(weight, "fp8")
    assert scale.tolist() == [[1.0]] and (codes.float() == 448).all()


def test_ternary_scale_is_rounded_to_the_master_dtype(device: str) -> None:
    _, scale = quantize_weight(normal(32, 32, seed=3, dtype=torch.bfloat16, device=device), "1.58bit")
    assert torch.equal(scale, scale.bfloat16().float())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_zero_weight(precision: str, device: str) -> None:
    codes, scale = quantize_weight(torch.zeros(4, 32, device=device), precision, GROUP)
    # Without a code for 0 it is the least weight there is: −β under 1bit (nothing exceeds the mean), σ under 2bit.
    expected = {"1bit": -1, "2bit": 1}.get(precision, 0)
    assert (codes.float() == expected).all() and (scale > 0).all() and scale.max() <= 1e-5


def test_two_bits_split_at_zero_and_at_twice_the_scale(device: str) -> None:
    # mean|W| = 1.6, so that σ = 1 and the levels −3, −1, 1, 3 meet at −2, 0 and 2.
    weight = torch.tensor([[-2.25, -2.0, -0.5, -0.0, 0.0, 0.5, 1.75, 2.0, 2.0, 5.0]], device=device)
    codes, scale = quantize_weight(weight, "2bit")
    assert scale.tolist() == [[1.0]]
    assert codes.tolist() == [[-3, -1, -1, 1, 1, 1, 1, 3, 3, 3]]


def test_one_bit_splits_at_the_mean(device: str) -> None:
    codes, scale = quantize_weight(torch.tensor([[1.0, 2.0, 3.0], [2.0, 2.5, 1.5]], device=device), "1bit")
    assert scale.tolist() == [2.0] and codes.tolist() == [[-1, -1, 1], [-1, 1, -1]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_non_finite_weight_shows_in_the_scale(precision: str, bad: float, device: str) -> None:
    weight = normal(4, 64, seed=4, device=device)
    weight[1, 40] = bad
    _, scale = quantize_weight(weight, precision, GROUP)
    assert not scale.isfinite().all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_strided_weight_and_one_with_gradients(precision: str, device: str) -> None:
    weight = normal(64, 8, seed=5, device=device).requires_grad_()
    codes, scale = quantize_weight(weight.T, precision, GROUP)
    plain, _ = quantize_weight(weight.T.contiguous(), precision, GROUP)
    assert torch.equal(codes.view(torch.int8), plain.view(torch.int8))
    assert codes.is_contiguous()
    assert not scale.requires_grad


def test_bad_arguments_are_named() -> None:
    weight = torch.zeros(4, 48)
    with pytest.raises(ValueError, match="'8bit', 'fp8', got '4bits'; did you mean '4bit'"):
        quantize_weight(weight, "4bits")
    with pytest.raises(ValueError, match="multiple of group_size 32, got 48"):
        quantize_weight(weight, "4bit", 32)
    op = torch.ops.zeta.quantize_weight
    with pytest.raises(ValueError, match="'8bit', 'fp8', got '3bit'"):
        op(weight, "3bit", 32)
    with pytest.raises(ValueError, match="positive multiple of 8, got 12"):
        op(weight, "4bit", 12)
    with pytest.raises(RuntimeError, match="multiple of group_size 32, got 48"):
        op(weight, "4bit", 32)
    with pytest.raises(RuntimeError, match="2 dimensions .*got 3"):
        op(weight[None], "4bit", 16)
    with pytest.raises(RuntimeError, match="got Int"):
        op(weight.int(), "4bit", 16)
    with pytest.raises(RuntimeError, match=r"out_features ≥ 1 .*got a weight of \[0, 48\]"):
        op(weight[:0], "1.58bit", 16)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_opcheck(precision: str, device: str) -> None:
    weight = normal(8, 64, seed=6, device=device)
    torch.library.opcheck(torch.ops.zeta.quantize_weight.default, (weight, precision, GROUP))
