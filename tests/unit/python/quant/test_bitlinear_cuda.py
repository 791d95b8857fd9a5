"""BitLinear's kernels on a GPU: sizes that fill no tile, codes bit for bit, and what is kept for the backward."""

from __future__ import annotations

import pytest
import torch
from quant_formulas import PRECISIONS, ROUNDOFF, assert_within, exact, fp8_codes, normal, weight_codes
from torch import Tensor

from zeta.quant import BitLinear, quantize_weight

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# tokens, out_features, in_features: one of each, odd ones, tiles and a bit, and no multiple of 16.
SHAPES = [
    (1, 8, 16),
    (5, 24, 48),
    (130, 264, 144),
    (257, 520, 272),
    (300, 1000, 4096),
    (7, 9, 40),
    (33, 16, 39),
]


@pytest.fixture(autouse=True)
def gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU that CUDA can use")


def activation_codes(x: Tensor) -> tuple[Tensor, Tensor]:
    values = x.cpu().float()
    scale = 127 * (1 / values.abs().amax(-1).clamp(min=1e-5))
    return (values * scale[:, None]).round().clamp(-128, 127), scale


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_ternary_product_is_exact(shape: tuple[int, int, int], dtype: torch.dtype, bias: bool) -> None:
    tokens, n, k = shape
    x = normal(tokens, k, seed=1, dtype=dtype, device="cuda")
    weight = normal(n, k, seed=2, scale=0.02, dtype=dtype, device="cuda")
    offset = normal(n, seed=3, dtype=dtype, device="cuda") if bias else None
    y, codes, scale = torch.ops.zeta.bitlinear_forward(x, weight, offset, "1.58bit", 128)
    expected_codes, expected_scale = activation_codes(x)
    assert torch.equal(codes.cpu().float(), expected_codes) and torch.equal(scale.cpu(), expected_scale)
    weights, beta = weight_codes(weight, "1.58bit")
    sums = (expected_codes.double() @ weights.double().T).float()  # below 2²⁴: exact
    expected = sums * (beta / expected_scale[:, None])
    if offset is not None:
        expected = expected + offset.cpu().float()
    # The same roundings in the same order.
    assert torch.equal(y.cpu(), expected.to(dtype))
    assert torch.equal(torch.ops.zeta.bitlinear(x, weight, offset, "1.58bit", 128), y)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_fp8_codes_and_product(shape: tuple[int, int, int], dtype: torch.dtype, bias: bool) -> None:
    tokens, n, k = shape
    x = normal(tokens, k, seed=1, dtype=dtype, device="cuda")
    weight = normal(n, k, seed=2, scale=0.02, dtype=dtype, device="cuda")
    offset = normal(n, seed=3, dtype=dtype, device="cuda") if bias else None
    y, codes, scale = torch.ops.zeta.bitlinear_forward(x, weight, offset, "fp8", 128)
    expected_codes, expected_scale = fp8_codes(x, rounded=False)
    assert torch.equal(codes.cpu().float(), expected_codes) and torch.equal(
        scale.cpu()[:, None], expected_scale
    )
    weights, sigma = fp8_codes(weight, rounded=True)
    actual_weights, actual_sigma = quantize_weight(weight, "fp8")
    assert torch.equal(actual_weights.cpu().float(), weights) and torch.equal(actual_sigma.cpu(), sigma)
    used, wide = expected_codes.double() * expected_scale.double(), weights.double() * sigma.double()
    expected = used @ wide.T + (exact(offset) if offset is not None else 0)
    # Each of the k / 32 additions errs by 2⁻¹³ of the greatest term or sum; then four roundings.
    u = ROUNDOFF[dtype]
    bound = (k / 32 + 1) * 2.0**-13 * (used.abs() @ wide.abs().T) + (u + 4 * 2.0**-24) * expected.abs()
    assert_within(y, expected, bound + 4 * 2.0**-24 * (used @ wide.T).abs())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group_size", [8, 24, 128, 320])
def test_int4_groups(group_size: int, dtype: torch.dtype) -> None:
    weight = normal(37, 2 * group_size, seed=4, scale=0.02, dtype=dtype, device="cuda")
    weight[0, :group_size] = 0
    weight[1] *= 1e-3
    codes, scale = quantize_weight(weight, "4bit", group_size)
    expected_codes, expected_scale = weight_codes(weight, "4bit", group_size)
    assert torch.equal(scale.cpu(), expected_scale)
    assert torch.equal(codes.cpu().float(), expected_codes)


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e30, 3e38])
def test_int4_of_extreme_weights(size: float) -> None:
    """Where a division by a product with the inverse would underflow or overflow."""
    weight = normal(8, 256, seed=5, device="cuda").clamp(-1, 1) * size
    codes, scale = quantize_weight(weight, "4bit", 128)
    expected_codes, expected_scale = weight_codes(weight, "4bit", 128)
    assert torch.equal(scale.cpu(), expected_scale)
    assert torch.equal(codes.cpu().float(), expected_codes)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(1, 8), (3, 24), (1000, 1032), (4096, 4096)])
def test_weight_used_is_codes_times_scale(shape: tuple[int, int], precision: str) -> None:
    """The backward's Ŵ, which has no codes in memory, through a gradient that picks single rows."""
    weight = normal(*shape, seed=6, scale=0.02, dtype=torch.bfloat16, device="cuda")
    rows = torch.arange(0, shape[0], max(1, shape[0] // 61), device="cuda")
    picks = torch.zeros(len(rows), shape[0], dtype=torch.bfloat16, device="cuda")
    picks[torch.arange(len(rows)), rows] = 1
    x = torch.zeros(len(rows), shape[1], dtype=torch.bfloat16, device="cuda")
    used, *_ = torch.ops.zeta.bitlinear_backward(picks, x, weight, precision, 8, [True, False, False])
    codes, scale = quantize_weight(weight, precision, 8)
    spread = scale if scale.dim() == 1 else scale.repeat_interleave(shape[1] // scale.shape[1], dim=1)
    assert torch.equal(used, (codes.float() * spread).bfloat16()[rows])


@pytest.mark.parametrize("features", [16, 39, 4096, 40000])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("precision", ["1.58bit", "fp8"])
def test_activation_used_is_codes_by_scale(precision: str, features: int, dtype: torch.dtype) -> None:
    """The backward's x̂, through a gradient that picks single tokens; rows of zeros and of extreme values too."""
    x = normal(9, features, seed=7, dtype=dtype, device="cuda")
    x[3] = 0
    if dtype != torch.float16:
        x[4] *= 1e30
        x[5] *= 1e-30
    weight = normal(9, features, seed=8, dtype=dtype, device="cuda")
    picks = torch.eye(9, dtype=dtype, device="cuda")
    _, codes, scale = torch.ops.zeta.bitlinear_forward(x, weight, None, precision, 8)
    _, used, _ = torch.ops.zeta.bitlinear_backward(
        picks, codes, weight, precision, 8, [False, True, False], scale
    )
    values, by = codes.cpu().float(), scale.cpu()[:, None]
    expected = (values * by if precision == "fp8" else values / by).to(dtype)
    # A product with a one and zeros is exact; float32's does not run in TF32 unless asked to.
    assert torch.equal(used.cpu(), expected)


def test_a_float32_master_keeps_the_sums_of_its_gradient() -> None:
    x = normal(4096, 64, seed=9, dtype=torch.bfloat16, device="cuda")
    layer = BitLinear(64, 32, precision="4bit", group_size=32, device="cuda")
    grad = normal(4096, 32, seed=10, dtype=torch.bfloat16, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        layer(x).backward(grad)
    g, values = exact(grad), exact(x)
    bound = 4096 * ROUNDOFF[torch.float32] * (g.abs().T @ values.abs())
    assert_within(layer.weight.grad, g.T @ values, bound)


def test_int8_is_kept_and_not_x() -> None:
    layer = BitLinear(4096, 64, bias=False, dtype=torch.bfloat16, device="cuda")
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(normal(128, 4096, seed=11, dtype=torch.bfloat16, device="cuda").requires_grad_())
    assert sorted(str(t.dtype) for t in kept) == ["torch.bfloat16", "torch.float32", "torch.int8"]
    assert sum(t.nbytes for t in kept if t.data_ptr() != layer.weight.data_ptr()) == 128 * 4096 + 128 * 4
