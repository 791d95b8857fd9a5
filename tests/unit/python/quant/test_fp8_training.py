"""FP8 training against its plain formula in float64, and as part of training."""

from __future__ import annotations

import math

import pytest
import torch
from test_replace import tiny_llama
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zeta.quant import Float8Linear, convert_to_fp8_training
from zeta.quant.fp8_blocks import _multiply_blocks, _multiply_rows, quantize_blocks

RECIPES = ("tensorwise", "rowwise", "blockwise")
E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


def skip_unless_it_runs(device: str, recipe: str) -> None:
    if device == "cuda":
        found = torch.cuda.get_device_capability()
        if found < (8, 9) or (recipe == "blockwise" and found != (9, 0)):
            pytest.skip(f"compute capability {found} has no {recipe} FP8 products")


def plain_rounded(x: Tensor, rows: int, columns: int, dtype: torch.dtype, power_of_two: bool) -> Tensor:
    """Each block divided by its scale, cast, and multiplied again: one at a time, in float64 after the cast."""
    out = torch.empty(x.shape, dtype=torch.float64, device=x.device)
    for i in range(0, x.shape[0], rows):
        for j in range(0, x.shape[1], columns):
            part = x[i : i + rows, j : j + columns].float()
            scale = part.abs().max() / torch.finfo(dtype).max
            if power_of_two and scale > 0:
                scale = torch.tensor(2.0 ** math.ceil(math.log2(scale.item())), device=x.device)
            codes = (part / scale.clamp(min=2.0**-126)).to(dtype)
            out[i : i + rows, j : j + columns] = codes.double() * scale.double()
    return out


def plain(x: Tensor, weight: Tensor, grad: Tensor, recipe: str) -> tuple[Tensor, Tensor, Tensor]:
    """y, ∂x and ∂W by the recipe's definition."""
    grad_dtype = E5M2 if recipe == "tensorwise" else E4M3

    def operand(t: Tensor, dtype: torch.dtype, square: bool = False) -> Tensor:
        rows, columns = {
            "tensorwise": t.shape, "rowwise": (1, t.shape[1]), "blockwise": (128 if square else 1, 128)
        }[recipe]  # fmt: skip
        return plain_rounded(t, rows, columns, dtype, recipe != "tensorwise")

    y = operand(x, E4M3) @ operand(weight, E4M3, square=True).T
    grad_x = operand(grad, grad_dtype) @ operand(weight.T, E4M3, square=True).T
    grad_weight = operand(grad.T, grad_dtype) @ operand(x.T, E4M3).T
    return y, grad_x, grad_weight


def assert_near(actual: Tensor, expected: Tensor, out_dtype: torch.dtype, terms: int, device: str) -> None:
    """Products are exact; sums are in fp32, on Hopper with 2⁻¹³ of the greatest of 32 terms lost at a time."""
    lost = 2.0**-13 * 4 if device == "cuda" else terms * 2.0**-24
    rounded = torch.finfo(out_dtype).eps
    error = (actual.double() - expected).abs().max().item()
    assert error <= (lost + rounded) * expected.abs().max().item() * 2


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(256, 128), (128, 384)])
@pytest.mark.parametrize("tokens", [128, 256])
def test_products_are_the_plain_formulas(
    recipe: str, dtype: torch.dtype, shape: tuple[int, int], tokens: int, device: str
) -> None:
    skip_unless_it_runs(device, recipe)
    torch.manual_seed(0)
    layer = Float8Linear(*shape, bias=False, recipe=recipe).to(device, dtype)
    x = torch.randn(tokens, shape[0], device=device, dtype=dtype) * torch.rand(tokens, 1, device=device).to(
        dtype
    )
    x.requires_grad_()
    grad = torch.randn(tokens, shape[1], device=device, dtype=dtype) * 1e-4
    y = layer(x)
    y.backward(grad)
    expected = plain(x.detach(), layer.weight.detach(), grad, recipe)
    out_dtype = torch.bfloat16 if device == "cuda" and recipe != "tensorwise" else dtype
    for actual, wanted, terms in zip(
        (y, x.grad, layer.weight.grad), expected, (shape[0], shape[1], tokens), strict=True
    ):
        assert actual.dtype == dtype
        assert_near(actual, wanted, out_dtype, terms, device)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("lead", [(), (1,), (3, 5), (0,), (2, 0)])
def test_any_number_of_tokens_and_a_bias(recipe: str, lead: tuple[int, ...], device: str) -> None:
    skip_unless_it_runs(device, recipe)
    torch.manual_seed(0)
    layer = Float8Linear(128, 128, recipe=recipe, device=device)
    x = torch.randn(*lead, 128, device=device, requires_grad=True)
    y = layer(x)
    exact = nn.functional.linear(x, layer.weight, layer.bias)
    assert y.shape == exact.shape
    inputs = (x, layer.weight, layer.bias)
    actuals = (y, *torch.autograd.grad(y.sum(), inputs))
    for actual, expected in zip(actuals, (exact, *torch.autograd.grad(exact.sum(), inputs)), strict=True):
        assert actual.shape == expected.shape
        if (
            expected.numel()
        ):  # two operands, each off by half a unit of e4m3's 3 bits; many errors average out
            assert (actual - expected).norm() <= 2 * 2.0**-4 * expected.norm()


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_converges_as_without(recipe: str, device: str) -> None:
    skip_unless_it_runs(device, recipe)

    def train(convert: bool) -> list[float]:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Embedding(64, 128), nn.Linear(128, 256), nn.SiLU(), nn.Linear(256, 128), nn.Linear(128, 128)
        ).to(device)
        if convert:
            assert convert_to_fp8_training(model, recipe, exclude=()) is model
            assert sum(isinstance(m, Float8Linear) for m in model.modules()) == 3
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for _ in range(60):
            ids = torch.randint(0, 64, (16, 16), device=device)
            target = (ids * 5 + 3) % 64
            with torch.autocast(device, torch.bfloat16):
                loss = nn.functional.cross_entropy(model(ids).flatten(0, 1)[:, :64].float(), target.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    with_fp8, without = train(True), train(False)
    assert without[-1] < 0.3 * without[0]
    assert abs(with_fp8[-1] - without[-1]) < 0.05 * without[0]


@pytest.mark.parametrize("recipe", RECIPES)
def test_compiled_whole_autocast_and_checkpointed(recipe: str, device: str) -> None:
    skip_unless_it_runs(device, recipe)
    torch.manual_seed(0)
    layer = Float8Linear(128, 256, recipe=recipe, device=device)
    x = torch.randn(3, 40, 128, device=device, requires_grad=True)
    grad = torch.randn(3, 40, 256, device=device, dtype=torch.bfloat16)

    def run(function: object) -> list[Tensor]:
        with torch.autocast(device, torch.bfloat16):
            y = function(x)
        assert y.dtype == torch.bfloat16
        grads = torch.autograd.grad(y, (x, layer.weight, layer.bias), grad)
        assert [g.dtype for g in grads] == [torch.float32] * 3
        return [y.detach(), *grads]

    expected = run(layer)
    compiled = torch.compile(layer, fullgraph=True, backend="inductor" if device == "cuda" else "aot_eager")
    for actual in (run(compiled), run(lambda x: checkpoint(layer, x, use_reentrant=False))):
        for a, e in zip(actual, expected, strict=True):
            torch.testing.assert_close(a, e, rtol=2**-7, atol=2**-7 * e.abs().max().item())


@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_product_of_blocks_is_an_operation(weight: bool, dtype: torch.dtype, device: str) -> None:
    skip_unless_it_runs(device, "blockwise")
    torch.manual_seed(0)
    a = quantize_blocks(torch.randn(128, 384, device=device), (1, 128), E4M3, True)
    b = quantize_blocks(torch.randn(256, 384, device=device), (128, 128) if weight else (1, 128), E4M3, True)
    checks = ("test_faketensor", "test_autograd_registration")  # the others compare inputs, which FP8 cannot
    torch.library.opcheck(_multiply_blocks, (*a, *b, dtype), test_utils=checks)
    assert_near(
        _multiply_blocks(*a, *b, dtype),
        a.dequantize().double() @ b.dequantize().double().T,
        torch.bfloat16 if device == "cuda" else dtype,
        384,
        device,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_product_of_rows_is_an_operation(dtype: torch.dtype, device: str) -> None:
    skip_unless_it_runs(device, "rowwise")
    torch.manual_seed(0)
    a, b = (quantize_blocks(torch.randn(n, 384, device=device), (1, 384), E4M3, True) for n in (128, 256))
    checks = ("test_faketensor", "test_autograd_registration")  # the others compare inputs, which FP8 cannot
    torch.library.opcheck(_multiply_rows, (*a, *b, dtype, False), test_utils=checks)
    assert_near(
        _multiply_rows(*a, *b, dtype, False),
        a.dequantize().double() @ b.dequantize().double().T,
        torch.bfloat16 if device == "cuda" else dtype,
        384,
        device,
    )


@pytest.mark.parametrize("power_of_two", [False, True])
def test_codes_of_extreme_blocks(power_of_two: bool, device: str) -> None:
    x = torch.zeros(5, 128, device=device)
    x[1] = 0.9 * torch.finfo(torch.float32).max
    x[2, 0], x[2, 1] = 1e-45, -1e-40
    x[3, 3], x[4, 4] = torch.nan, torch.inf
    x[4, 5] = -1.0
    codes, scale = quantize_blocks(x, (1, 128), E4M3, power_of_two)
    back = codes.float() * scale
    assert back[0].eq(0).all() and scale[0].item() == 2.0**-126
    assert back[1].isfinite().all() and (back[1] / x[1] - 1).abs().max() <= 2.0**-4
    assert back[2].abs().max() <= 1e-40
    assert back[3, 3].isnan() and back[4, 4].isnan()
    if power_of_two:
        assert (scale[:3].log2() == scale[:3].log2().round()).all()


def test_scales_round_up_to_powers_of_two_but_keep_them(device: str) -> None:
    greatest = torch.tensor([448.0, 449.0, 224.0, 225.0, 447.9, 896.0], device=device)
    _, scale = quantize_blocks(greatest[:, None].expand(6, 16).contiguous(), (1, 16), E4M3, True)
    assert scale.flatten().tolist() == [1.0, 2.0, 0.5, 1.0, 1.0, 2.0]


def test_what_is_converted() -> None:
    model = tiny_llama()
    parameters = dict(model.named_parameters())
    convert_to_fp8_training(
        model, "rowwise", include=["mlp.*"], module_filter_fn=lambda m, name: "layers.1" in name
    )
    converted = [name for name, module in model.named_modules() if isinstance(module, Float8Linear)]
    assert converted == [f"model.layers.1.mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")]
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())
    assert "recipe='rowwise'" in repr(model)


def test_refusals_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(128, 128), nn.Linear(128, 24))
    with pytest.raises(ValueError, match="did you mean 'rowwise'"):
        convert_to_fp8_training(model, "row")
    with pytest.raises(ValueError, match="1: expected out_features to be a multiple of 16 .* 24"):
        convert_to_fp8_training(model)
    with pytest.raises(ValueError, match="no nn.Linear"):
        convert_to_fp8_training(model, include="nothing")
    with pytest.raises(ValueError, match="chose no layer"):
        convert_to_fp8_training(model, module_filter_fn=lambda *_: False)
    assert all(type(layer) is nn.Linear for layer in model)

    from zeta.quant.fp8_recipe import check_gpu

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A100")
    with pytest.raises(RuntimeError, match="'rowwise' needs .* 8.9 or more; A100 has 8.0"):
        check_gpu(torch.device("cuda"), "rowwise")
    with pytest.raises(RuntimeError, match="'blockwise' needs .* 9.0; A100 has 8.0"):
        check_gpu(torch.device("cuda"), "blockwise")
