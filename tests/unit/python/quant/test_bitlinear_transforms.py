"""BitLinear under what wraps a model: autocast, torch.compile, checkpointing, opcheck, functorch."""

from __future__ import annotations

import pytest
import torch
from quant_formulas import GROUP, PRECISIONS, normal
from torch import nn
from torch.utils.checkpoint import checkpoint

from zeta.quant import BitLinear

IN, OUT = 64, 24


def make(precision: str, device: str = "cpu", **options: object) -> BitLinear:
    torch.manual_seed(0)
    return BitLinear(IN, OUT, precision=precision, group_size=GROUP, **options).to(device)


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    inputs = [x, *layer.parameters()]
    return list(torch.autograd.grad(layer(x).float().square().sum(), inputs))


@pytest.mark.parametrize("needs_grad", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_opcheck(precision: str, bias: bool, needs_grad: bool, device: str) -> None:
    layer = make(precision, device, bias=bias).requires_grad_(needs_grad)
    x = normal(2, 3, IN, seed=1, device=device).requires_grad_(needs_grad)
    torch.library.opcheck(torch.ops.zeta.bitlinear.default, (x, layer.weight, layer.bias, precision, GROUP))


@pytest.mark.parametrize("mask", [(True, True, True), (False, True, False), (True, False, True)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_opcheck_backward(precision: str, mask: tuple[bool, bool, bool], device: str) -> None:
    args = (
        normal(3, OUT, seed=2, device=device),
        normal(3, IN, seed=3, device=device),
        normal(OUT, IN, seed=4, device=device),
        precision,
        GROUP,
        list(mask),
    )
    torch.library.opcheck(torch.ops.zeta.bitlinear_backward.default, args)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_opcheck_of_what_the_forward_keeps(precision: str, device: str) -> None:
    x, weight = normal(2, 3, IN, seed=3, device=device), normal(OUT, IN, seed=4, device=device)
    torch.library.opcheck(torch.ops.zeta.bitlinear_forward.default, (x, weight, None, precision, GROUP))
    _, codes, scale = torch.ops.zeta.bitlinear_forward(x, weight, None, precision, GROUP)
    if precision == "4bit":
        assert codes.numel() == scale.numel() == 0
        return
    grad, every = normal(2, 3, OUT, seed=2, device=device), [True, True, True]
    args = (grad, codes, weight, precision, GROUP, every, scale)
    # opcheck's test_schema compares inputs, for which torch has no e4m3 arithmetic.
    utilities = ("test_faketensor", "test_aot_dispatch_dynamic") + (
        ("test_schema",) if precision != "fp8" else ()
    )
    torch.library.opcheck(torch.ops.zeta.bitlinear_backward.default, args, test_utils=utilities)
    from_x = torch.ops.zeta.bitlinear_backward(grad, x, weight, precision, GROUP, every)
    for one, other in zip(torch.ops.zeta.bitlinear_backward(*args), from_x, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_compile_whole_graph_and_any_batch(precision: str, device: str) -> None:
    layer = make(precision, device)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in (5, 7):
        x = normal(batch, IN, seed=5, device=device).requires_grad_()
        for actual, expected in zip(gradients(compiled, x), gradients(layer, x), strict=True):
            assert torch.equal(actual, expected)


def test_compile_with_inductor(device: str) -> None:
    model = nn.Sequential(make("1.58bit"), BitLinear(OUT, 8, precision="4bit", group_size=8)).to(device)
    compiled = torch.compile(model, fullgraph=True)
    x = normal(
        5, IN, seed=6, device=device
    )  # without a gradient of its own: one output of the backward is not computed
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    actual = torch.autograd.grad(compiled(x).square().sum(), list(model.parameters()))
    for one, other in zip(actual, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_autocast_casts_activations_and_quantises_the_master_weight(
    precision: str, dtype: torch.dtype, device: str
) -> None:
    layer, x = make(precision, device), normal(5, IN, seed=7, device=device).requires_grad_()
    with torch.autocast(device, dtype):
        y = layer(x)
    assert y.dtype == dtype
    direct = torch.ops.zeta.bitlinear(x.to(dtype), layer.weight, layer.bias, precision, GROUP)
    assert torch.equal(y, direct)
    y.float().square().sum().backward()
    assert (x.grad.dtype, layer.weight.grad.dtype, layer.bias.grad.dtype) == (torch.float32,) * 3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_autocast_with_16_bit_weights(precision: str, device: str) -> None:
    layer, x = make(precision, device, dtype=torch.float16), normal(5, IN, seed=8, device=device)
    with torch.autocast(device, torch.bfloat16):
        y = layer(x)
    assert torch.equal(y, layer.bfloat16()(x.bfloat16()))


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_checkpointing(precision: str, reentrant: bool, device: str) -> None:
    layer, x = make(precision, device), normal(5, IN, seed=9, device=device).requires_grad_()
    expected = gradients(layer, x)
    checkpoint(layer, x, use_reentrant=reentrant).square().sum().backward()
    for actual, wanted in zip([x.grad, layer.weight.grad, layer.bias.grad], expected, strict=True):
        assert torch.equal(actual, wanted)


def test_vmap_is_refused_by_name() -> None:
    layer, x = make("1.58bit"), normal(5, IN, seed=10)
    with pytest.raises(NotImplementedError, match="zeta::bitlinear: torch.func.vmap is not supported"):
        torch.vmap(layer)(x)
    with pytest.raises(NotImplementedError, match="zeta::quantize_weight: torch.func.vmap"):
        torch.vmap(lambda w: torch.ops.zeta.quantize_weight(w, "4bit", 8))(normal(2, 8, 8, seed=1))


def test_double_backward_is_refused_by_name() -> None:
    layer, x = make("4bit"), normal(5, IN, seed=11).requires_grad_()
    (grad,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="zeta::bitlinear_backward"):
        grad.sum().backward()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_meta_tensors(precision: str) -> None:
    layer = make(precision, "meta")
    assert layer(torch.empty(2, 3, IN, device="meta")).shape == (2, 3, OUT)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_learns(precision: str, device: str) -> None:
    x, target = normal(128, IN, seed=13, device=device), normal(128, OUT, seed=14, device=device)
    layer = make(precision, device)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = nn.functional.mse_loss(layer(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
