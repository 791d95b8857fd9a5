"""packed_linear with a scale for each output: 2-bit, 8-bit and fp8 weights."""

from __future__ import annotations

import pytest
import torch
from quant_formulas import ROUNDOFF, activation_used, assert_within, exact, normal
from torch import Tensor

from zeta.quant import BitLinear, pack_int2, pack_int8, quantize_weight, unpack_int2, unpack_int8

PRECISION = {"int2": "2bit", "int8": "8bit", "fp8": "fp8"}
PACK = {"int2": pack_int2, "int8": pack_int8, "fp8": lambda codes: codes}
INTEGERS = ("int2", "int8")


def make(format: str, n: int, k: int, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Packed weights, scale, and codes."""
    codes, scale = quantize_weight(normal(n, k, seed=1, scale=0.02), PRECISION[format])
    return PACK[format](codes).to(device), scale.to(device), codes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("m", [0, 1, 3, 17, 40])
@pytest.mark.parametrize("format", INTEGERS)
def test_integers_are_exact(format: str, m: int, dtype: torch.dtype) -> None:
    """To the bit: the integer sum, times σ / s, plus the bias, each rounded to float32."""
    for n, k in ((4, 1), (12, 40), (52, 333), (128, 2048)):
        packed, scale, codes = make(format, n, k)
        x, bias = normal(m, k, seed=2, dtype=dtype), normal(n, seed=3)
        values = x.float()
        s = 127 * (1 / values.abs().amax(-1, keepdim=True).clamp(min=1e-5))
        sums = (values * s).round().double() @ codes.double().T
        expected = (sums.float() * (scale.T / s) + bias).to(dtype)
        assert torch.equal(torch.ops.zeta.packed_linear(x, packed, scale, bias, format, n), expected)


@pytest.mark.parametrize("format", INTEGERS)
def test_the_largest_sums_are_exact(format: str) -> None:
    k = 65535
    for code in (-128, 127) if format == "int8" else (-3, 3):
        codes = torch.full((4, k), code, dtype=torch.int8)
        x = torch.full((1, k), -1.0)
        y = torch.ops.zeta.packed_linear(x, PACK[format](codes), torch.ones(4), None, format, 4)
        assert y.tolist() == [[float(torch.tensor(-127.0 * k * code) * (1 / torch.tensor(127.0)))] * 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("format", PRECISION)
def test_is_the_float_linear(format: str, dtype: torch.dtype, device: str) -> None:
    for n, k in ((4, 8), (52, 136), (1024, 1096)):
        packed, scale, codes = make(format, n, k, device)
        x, bias = normal(3, 5, k, seed=2, dtype=dtype, device=device), normal(n, seed=3, device=device)
        used, weight = activation_used(x, PRECISION[format]), codes.double() * scale.cpu().double()
        expected = used @ weight.T + exact(bias)
        # k roundings of a sum of fp32 and a few of the scales; without a kernel one of dtype more before them.
        u, terms = ROUNDOFF[dtype], used.abs() @ weight.abs().T + exact(bias).abs()
        y = torch.ops.zeta.packed_linear(x, packed, scale, bias, format, n)
        assert y.dtype == dtype and y.shape == (3, 5, n) and y.is_contiguous()
        assert_within(y, expected, ((k + 8) * 2.0**-24 + 3 * u) * terms)


@torch.no_grad()
@pytest.mark.parametrize("format", PRECISION)
def test_serving_equals_training(format: str) -> None:
    layer, x = BitLinear(96, 40, precision=PRECISION[format]), normal(9, 96, seed=12)
    codes, scale = quantize_weight(layer.weight, PRECISION[format])
    served = torch.ops.zeta.packed_linear(x, PACK[format](codes), scale, layer.bias, format, 40)
    assert torch.equal(served, layer(x))


@torch.no_grad()
@pytest.mark.parametrize("precision", ["2bit", "8bit"])
def test_training_takes_any_number_of_outputs(precision: str) -> None:
    for n in (1, 3, 6, 41):
        layer, x = (
            BitLinear(50, n, precision=precision, dtype=torch.bfloat16),
            normal(7, 50, seed=5, dtype=torch.bfloat16),
        )
        codes, scale = quantize_weight(layer.weight, precision)
        s = 127 * (1 / x.float().abs().amax(-1, keepdim=True).clamp(min=1e-5))
        sums = (x.float() * s).round().double() @ codes.double().T
        assert torch.equal(layer(x), (sums.float() * (scale.T / s) + layer.bias.float()).bfloat16())


@pytest.mark.parametrize("format", PRECISION)
def test_devices_without_kernels_agree(format: str) -> None:
    packed, scale, codes = make(format, 24, 72)
    args = (normal(5, 72, seed=8), packed, scale, normal(24, seed=9), format, 24)
    generic = torch._C.DispatchKey.CompositeExplicitAutograd
    aten = torch.ops.zeta.packed_linear.default._op_dk(generic, *args)
    used = activation_used(args[0], PRECISION[format]).abs() @ (codes.double() * scale.double()).abs().T
    assert_within(aten, exact(torch.ops.zeta.packed_linear(*args)), 80 * 2.0**-24 * (used + 4))


@pytest.mark.parametrize("format", PRECISION)
def test_opcheck(format: str, device: str) -> None:
    packed, scale, _ = make(format, 8, 64, device)
    args = (normal(3, 64, seed=11, device=device), packed, scale, None, format, 8)
    utils = ["test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic"]
    # torch's test of schemas perturbs arguments, which it cannot for e4m3.
    torch.library.opcheck(
        torch.ops.zeta.packed_linear.default, args, test_utils=utils if format == "fp8" else "ALL"
    )


@pytest.mark.parametrize("format", PRECISION)
def test_non_finite_activations_reach_the_output(format: str, device: str) -> None:
    packed, scale, _ = make(format, 8, 64, device=device)
    for bad in (float("nan"), float("inf")):
        x = normal(4, 64, seed=10, device=device)
        x[0, 37] = bad
        y = torch.ops.zeta.packed_linear(x, packed, scale, None, format, 8)
        assert not y[0].isfinite().any() and y[1:].isfinite().all()
    assert (
        torch.ops.zeta.packed_linear(torch.zeros(1, 64), *make(format, 8, 64)[:2], None, format, 8)
        .eq(0)
        .all()
    )


def test_packing_goes_both_ways_and_refuses_what_is_no_code() -> None:
    codes = torch.randint(-2, 2, (8, 9), dtype=torch.int8) * 2 + 1
    assert torch.equal(unpack_int2(pack_int2(codes)), codes)
    wide = torch.randint(-128, 128, (8, 9), dtype=torch.int8)
    assert torch.equal(unpack_int8(pack_int8(wide)), wide)
    with pytest.raises(ValueError, match="expected codes of −3, −1, 1 and 3, got an even one"):
        pack_int2(torch.full((4, 4), 2, dtype=torch.int8))
    with pytest.raises(ValueError, match=r"expected codes in \[-3, 3\], got \[5, 5\]"):
        pack_int2(torch.full((4, 4), 5, dtype=torch.int8))
    for pack in (pack_int2, pack_int8):
        with pytest.raises(ValueError, match="multiple of 4 to pack .*, got 6"):
            pack(codes[:6])


def test_bad_arguments_are_named() -> None:
    op, x = torch.ops.zeta.packed_linear, torch.zeros(2, 16)
    bytes = torch.zeros(8, 16, dtype=torch.uint8)
    for packed, scale, format, n, message in [
        (
            bytes,
            torch.ones(8),
            "int3",
            8,
            "one of 'ternary', 'int2', 'int4', 'w4a8', 'int8', 'fp8', got 'int3'",
        ),
        (bytes, torch.ones(8), "int2", 8, "expected packed of 2 rows, got 8"),
        (bytes, torch.ones(7), "int8", 8, r"expected scale of 8 elements for int8, got \[7\]"),
        (bytes, torch.ones(6), "int8", 6, "out_features to be a multiple of 4 for int8, got 6"),
        (bytes, torch.ones(8), "fp8", 8, "expected packed of Float8_e4m3fn and 2 dimensions, got Byte"),
        (bytes[:, :15].contiguous(), torch.ones(8), "int8", 8, "expected x of 15 features, got 16"),
    ]:
        with pytest.raises((RuntimeError, ValueError), match=message):
            op(x, packed, scale, None, format, n)
    wide = torch.zeros(4, 65536, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="expected in_features < 2¹⁶ for int8, got 65536"):
        op(torch.zeros(1, 65536), wide, torch.ones(4), None, "int8", 4)
