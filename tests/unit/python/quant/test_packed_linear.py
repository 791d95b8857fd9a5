"""packed_linear against a float64 linear on the unpacked weights."""

from __future__ import annotations

import pytest
import torch
from quant_formulas import ROUNDOFF, activation_used, assert_within, exact, normal
from torch import Tensor

from zeta.quant import pack_int4, pack_ternary, quantize_weight

FORMATS = ("ternary", "int4", "w4a8")
PRECISION = {"ternary": "1.58bit", "int4": "4bit", "w4a8": "w4a8"}


def make(format: str, n: int, k: int, group: int = 8, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """A packed weight, its scale, and what they stand for in float64 on the CPU."""
    codes, scale = quantize_weight(normal(n, k, seed=1, scale=0.02), PRECISION[format], group)
    spread = scale if format == "ternary" else scale.repeat_interleave(group, dim=1)
    pack = pack_ternary if format == "ternary" else pack_int4
    return pack(codes).to(device), scale.to(device), codes.double() * spread.double()


def check(
    format: str, x: Tensor, packed: Tensor, scale: Tensor, weight: Tensor, bias: Tensor | None
) -> Tensor:
    y = torch.ops.zeta.packed_linear(x, packed, scale, bias, format, weight.shape[0])
    check_result(y, format, x, weight, bias, x.is_cuda and unpacked_first(format, x, scale))
    return y


def unpacked_first(format: str, x: Tensor, scale: Tensor) -> bool:
    """Whether a GPU multiplies by Ŵ rounded to x's dtype: for more rows than a kernel that takes the shape likes."""
    n, k, rows = scale.shape[0], x.shape[-1], x.numel() // x.shape[-1]
    if format == "w4a8":
        return True
    if format == "ternary" or rows <= 16:
        return False
    group, odd = k // scale.shape[1], scale.dtype == torch.bfloat16 and scale.numel() % 2 == 1
    return n < 32 or group % 32 != 0 or odd or (rows > 64 and (n < 64 or group % 128 != 0))


def check_result(
    y: Tensor, format: str, x: Tensor, weight: Tensor, bias: Tensor | None, rounded_weight: bool = False
) -> None:
    """`y` is what the float64 linear gives, but for the roundings of any way to compute it."""
    assert y.dtype == x.dtype and y.is_contiguous() and y.shape == (*x.shape[:-1], weight.shape[0])
    used = activation_used(x, PRECISION[format])
    expected = used @ weight.T + (0 if bias is None else exact(bias))
    # Ternary: an exact integer, then 4 roundings of fp32. int4: k + 16 of them, on terms of stored codes
    # up to 15 and their offset of 8, while a group's greatest code is at least 7: 23 / 7 · max|Ŵ| each. w4a8: an exact
    # integer a group, then as many roundings as there are words and some more; where Ŵ is rounded, so is the product.
    u, single = ROUNDOFF[x.dtype], ROUNDOFF[torch.float32]
    terms = used.abs() @ weight.abs().T
    if format == "int4":
        terms = 23 / 7 * (used.abs().sum(-1, keepdim=True) * weight.abs().amax(1))
    roundings = 4 if format == "ternary" else x.shape[-1] + 16
    bound = roundings * single * (terms + 1) + u * expected.abs() + 1e-30
    if rounded_weight:
        bound = bound + (2 if format == "w4a8" else 1) * u * (used.abs() @ weight.abs().T)
    assert_within(y, expected, bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("m", [0, 1, 3, 17, 64])
@pytest.mark.parametrize("format", FORMATS)
def test_is_the_float_linear(format: str, m: int, dtype: torch.dtype, device: str) -> None:
    for n, k in ((4, 8), (12, 40), (52, 136), (128, 1096)):
        packed, scale, weight = make(format, n, k, device=device)
        x = normal(m, k, seed=2, dtype=dtype, device=device)
        check(format, x, packed, scale, weight, normal(n, seed=3, device=device))


# Kernels for a GPU differ by the rows of x: 1, up to 8, up to 16, then tiles of 32, 64 and 128.
@pytest.mark.parametrize("m", [1, 2, 5, 8, 9, 16, 17, 32, 33, 64, 65, 130])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("format", FORMATS)
def test_every_number_of_rows(format: str, dtype: torch.dtype, m: int, device: str) -> None:
    # Whole tiles; rows and columns left over; fewer columns than a step; a group of several steps.
    for n, k, group in ((128, 256, 128), (212, 1056, 96), (64, 32, 32), (132, 768, 384)):
        packed, scale, weight = make(format, n, k, group, device)
        x = normal(m, k, seed=15, dtype=dtype, device=device)
        check(format, x, packed, scale, weight, normal(n, seed=16, dtype=dtype, device=device))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("m", [1, 8, 16, 64])
def test_ternary_is_exact(m: int, dtype: torch.dtype, device: str) -> None:
    """To the bit what training computes: an exact integer, times β/s rounded, plus the bias rounded."""
    for n, k in ((12, 40), (192, 2048)):
        packed, scale, weight = make("ternary", n, k, device=device)
        x, bias = normal(m, k, seed=17, dtype=dtype, device=device), normal(n, seed=18, device=device)
        values = x.cpu().float()
        s = 127 * (1 / values.abs().amax(-1, keepdim=True).clamp(min=1e-5))
        sums = (values * s).round().double() @ (weight / scale.cpu().double()).round().T
        expected = sums.float() * (scale.cpu() / s) + bias.cpu()
        y = torch.ops.zeta.packed_linear(x, packed, scale, bias, "ternary", n)
        assert torch.equal(y.cpu(), expected.to(dtype))


@pytest.mark.parametrize("m", [1, 4, 16, 40])
@pytest.mark.parametrize("format", FORMATS)
def test_calls_in_a_row_wait_for_each_other(format: str, m: int, device: str) -> None:
    """On Hopper a call starts before the one ahead of it ends; it may use nothing of that one's too early."""
    packed, scale, _ = make(format, 1024, 1024, 128, device)
    op = torch.ops.zeta.packed_linear

    def chain(pause: bool) -> list[Tensor]:
        y, weight, out = normal(m, 1024, seed=19, dtype=torch.bfloat16, device=device), packed.clone(), []
        for i in range(8):
            torch.bitwise_xor(packed, i, out=weight)  # another weight, written by the kernel just before
            y = op(y, weight, scale, None, format, 1024)
            y = op(y, weight, scale, None, format, 1024)
            out.append(y)
            if pause and device == "cuda":
                torch.cuda.synchronize()
        return out

    for fast, slow in zip(chain(False), chain(True), strict=True):
        assert torch.equal(fast, slow)


@pytest.mark.parametrize("k", [1, 5, 33, 1025])
def test_ternary_takes_any_in_features(k: int, device: str) -> None:
    packed, scale, weight = make("ternary", 20, k, device=device)
    for m in (1, 6):
        check("ternary", normal(m, k, seed=4, device=device), packed, scale, weight, None)


@pytest.mark.parametrize("group", [8, 24, 32, 64, 96, 128, 192, 384])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_int4_group_sizes_and_bfloat16_scales(dtype: torch.dtype, group: int, device: str) -> None:
    packed, scale, weight = make("int4", 74, 384, group, device)
    for m in (1, 6, 12, 40):
        x = normal(m, 384, seed=5, dtype=dtype, device=device)
        y = check("int4", x, packed, scale, weight, None)
        assert torch.equal(y, check("int4", x, packed, scale.bfloat16(), weight, None))


@pytest.mark.parametrize("m", [1, 12, 40])
def test_int4_an_odd_number_of_bfloat16_scales(m: int, device: str) -> None:
    """Kernels read two such scales at once; the last of an odd number has no other beside it."""
    packed, scale, weight = make("int4", 73, 384, 128, device)
    x = normal(m, 384, seed=20, dtype=torch.bfloat16, device=device)
    check("int4", x, packed, scale.bfloat16(), weight, None)


@pytest.mark.parametrize("format", FORMATS)
def test_leading_dimensions_and_strides(format: str, device: str) -> None:
    packed, scale, weight = make(format, 16, 64, device=device)
    check(format, normal(64, seed=6, device=device), packed, scale, weight, None)
    check(format, normal(2, 0, 64, seed=6, device=device), packed, scale, weight, None)
    x, bias = normal(64, 3, 5, seed=6, device=device), normal(16, seed=7, dtype=torch.bfloat16, device=device)
    check(format, x.permute(2, 1, 0), packed, scale, weight, bias)


def test_ternary_weights_that_start_anywhere(device: str) -> None:
    """Kernels read whole words where they can; a slice of a larger buffer need not start at one."""
    packed, scale, weight = make("ternary", 20, 64, device=device)
    buffer = torch.cat([packed.new_zeros(1), packed.flatten()])[1:].view(packed.shape)
    check("ternary", normal(3, 64, seed=14, device=device), buffer, scale, weight, None)


@pytest.mark.parametrize("m", [1, 20])
@pytest.mark.parametrize("format", FORMATS)
def test_activations_that_start_anywhere(format: str, m: int, device: str) -> None:
    packed, scale, weight = make(format, 128, 128, 128, device)
    x = normal(m * 128 + 1, seed=14, dtype=torch.bfloat16, device=device)[1:].view(m, 128)
    check(format, x, packed, scale, weight, None)


@pytest.mark.parametrize("m", [1, 5])
@pytest.mark.parametrize("format", FORMATS)
def test_devices_without_kernels_agree(format: str, m: int) -> None:
    packed, scale, weight = make(format, 24, 72)
    x, bias = normal(m, 72, seed=8), normal(24, seed=9)
    args = (x, packed, scale, bias, format, 24)
    generic = torch._C.DispatchKey.CompositeExplicitAutograd
    aten = torch.ops.zeta.packed_linear.default._op_dk(generic, *args)
    check_result(aten, format, x, weight, bias)


@pytest.mark.parametrize("format", FORMATS)
def test_non_finite_activations_reach_the_output(format: str, device: str) -> None:
    packed, scale, _ = make(format, 8, 64, device=device)
    for m in (1, 4):
        for bad in (float("nan"), float("inf")):
            x = normal(m, 64, seed=10, device=device)
            x[0, 37] = bad
            y = torch.ops.zeta.packed_linear(x, packed, scale, None, format, 8)
            assert not y[0].isfinite().any() and y[1:].isfinite().all()


@pytest.mark.parametrize("format", FORMATS)
def test_opcheck_compile_and_autocast(format: str, device: str) -> None:
    packed, scale, _ = make(format, 8, 64, device=device)
    op, x = torch.ops.zeta.packed_linear, normal(3, 64, seed=11, device=device)
    torch.library.opcheck(op.default, (x, packed, scale, normal(8, seed=12, device=device), format, 8))
    compiled = torch.compile(
        lambda x: op(x, packed, scale, None, format, 8), fullgraph=True, backend="aot_eager"
    )
    assert torch.equal(compiled(x), op(x, packed, scale, None, format, 8))
    with torch.autocast(device, torch.bfloat16):
        y = op(x, packed, scale, None, format, 8)
    assert torch.equal(y, op(x.bfloat16(), packed, scale, None, format, 8))


def test_gradients_and_vmap_are_refused_by_name() -> None:
    packed, scale, _ = make("int4", 8, 64)
    op = torch.ops.zeta.packed_linear
    y = op(normal(3, 64, seed=13).requires_grad_(), packed, scale, None, "int4", 8)
    with pytest.raises(RuntimeError, match="zeta::packed_linear"):
        y.sum().backward()
    with pytest.raises(NotImplementedError, match="zeta::packed_linear: torch.func.vmap"):
        torch.vmap(lambda x: op(x, packed, scale, None, "int4", 8))(normal(3, 64, seed=13))


def test_bad_arguments_are_named() -> None:
    op, x = torch.ops.zeta.packed_linear, torch.zeros(2, 64)
    ternary, scale, _ = make("ternary", 8, 64)
    int4, scales, _ = make("int4", 8, 64)
    with pytest.raises(ValueError, match="'int8', 'fp8', got 'int3'"):
        op(x, int4, scales, None, "int3", 8)
    with pytest.raises(RuntimeError, match="multiple of 4 for ternary, got 6"):
        op(x, ternary, scale, None, "ternary", 6)
    with pytest.raises(RuntimeError, match="packed of 3 rows, got 2"):
        op(x, ternary, scale, None, "ternary", 12)
    with pytest.raises(RuntimeError, match="x of 64 features, got 63"):
        op(x[:, :63], int4, scales, None, "int4", 8)
    with pytest.raises(RuntimeError, match="got Double"):
        op(x.double(), int4, scales, None, "int4", 8)
    with pytest.raises(RuntimeError, match="packed of Byte and 2 dimensions, got Int"):
        op(x, int4, scale, None, "ternary", 8)
    with pytest.raises(RuntimeError, match="multiple of 8 columns, got 64 columns in 5 groups"):
        op(x, int4, scales[:, :5], None, "int4", 8)
    with pytest.raises(RuntimeError, match="one scale for ternary"):
        op(x, ternary, torch.ones(2), None, "ternary", 8)
    with pytest.raises(RuntimeError, match="packed to be contiguous"):
        op(x, make("ternary", 64, 8)[0].T[:2], scale, None, "ternary", 8)
    with pytest.raises(RuntimeError, match="bias of 8 features, got 4"):
        op(x, int4, scales, torch.zeros(4), "int4", 8)
