"""zeta.quant.quantize on whole models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from test_replace import tiny_llama
from torch import Tensor, nn
from torch.nn import functional

from zeta.quant import PackedLinear, convert_to_fp8_training, quantize, quantize_weight, replace_linear


class Branches(nn.Module):
    """A layer used twice under two names, one never, one only for large inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(32, 32)
        self.again = self.shared
        self.unused = nn.Linear(32, 32)
        self.large = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(input=self.shared(x).relu())
        return self.large(x) if x.abs().max() > 100 else x


def token_batches() -> list[dict[str, Tensor]]:
    torch.manual_seed(1)
    return [{"input_ids": torch.randint(0, 64, (4, 16))} for _ in range(3)]


@pytest.mark.parametrize("precision", ["4bit", "w4a8", "1bit", "1.58bit", "2bit", "8bit", "fp8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_gives_what_bitlinear_computes(precision: str, dtype: torch.dtype, device: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 32, bias=False)).to(device, dtype)
    weights = [layer.weight.detach().clone() for layer in model]
    report = quantize(model, precision, group_size=32)
    x = torch.randn(5, 64, device=device, dtype=dtype)
    for layer, weight in zip(model, weights, strict=True):
        assert isinstance(layer, PackedLinear) and layer.weight.dtype == dtype
        codes, scale = quantize_weight(weight, precision, 32)
        assert all(map(torch.equal, layer.unpack(), (codes, scale)))
        expected = torch.ops.zeta.bitlinear(x, weight, layer.bias, precision, 32)
        actual = layer(x)
        eps = torch.finfo(dtype).eps  # two orders of summation, and Ŵ rounded to dtype in one
        torch.testing.assert_close(actual, expected, rtol=0, atol=8 * eps * expected.abs().max().item())
        x = actual
    assert [line.method for line in report] == ["rtn", "rtn"] and report[0].output_error is None
    assert report.bytes_before == (64 + 32) * 32 * dtype.itemsize
    stored = [sum(b.nbytes for n, b in layer.named_buffers() if "scale" not in n) for layer in model]
    assert all(0 <= line.bytes_after - size <= 4 * 64 for line, size in zip(report, stored, strict=True))


def test_gptq_on_a_llama_loses_less_than_rounding_layer_by_layer_and_in_all() -> None:
    batches = token_batches()
    exact = tiny_llama()(**batches[0]).logits
    reports, distances = {}, {}
    for method in ("rtn", "gptq"):
        model = tiny_llama()
        reports[method] = quantize(model, "4bit", method, batches, group_size=32, progress=False)
        distances[method] = (model(**batches[0]).logits - exact).norm().item()
    assert [line.name for line in reports["gptq"]] == [line.name for line in reports["rtn"]]
    for by_gptq, by_rtn in zip(reports["gptq"], reports["rtn"], strict=True):
        assert by_gptq.method == "gptq" and by_gptq.output_error < by_rtn.output_error, by_gptq.name
    assert distances["gptq"] < distances["rtn"]


@pytest.mark.parametrize("seed", range(3))
def test_gptq_costs_a_trained_model_less_loss(seed: int) -> None:
    torch.manual_seed(seed)
    mix = torch.randn(8, 64)
    teacher = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8))

    def batch(rows: int) -> Tensor:
        return torch.randn(rows, 8) @ mix / 8**0.5 + 0.1 * torch.randn(rows, 64)

    student = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 8))
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    for _ in range(300):
        x = batch(256)
        loss = functional.mse_loss(student(x), teacher(x).detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    calibration, held_out = [batch(256) for _ in range(4)], batch(2048)
    state = {name: value.clone() for name, value in student.state_dict().items()}
    with torch.no_grad():
        losses = {"none": functional.mse_loss(student(held_out), teacher(held_out)).item()}
        for method in ("rtn", "gptq"):
            model = nn.Sequential(
                nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 8)
            )
            model.load_state_dict(state)
            quantize(model, "4bit", method, calibration, group_size=64, progress=False)
            losses[method] = functional.mse_loss(model(held_out), teacher(held_out)).item()
    assert losses["none"] < losses["gptq"] < losses["rtn"], losses


def test_autocast_rounds_the_inputs_alone(device: str) -> None:
    """The products that GPTQ is made of stay in fp32 inside and outside of the model's autocast."""

    class Cast(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast(device, torch.bfloat16):
                return super().forward(x)

    torch.manual_seed(0)
    x = torch.randn(64, 128, device=device).bfloat16().float()  # so that casting them changes nothing
    weight = nn.Linear(128, 64, device=device).weight
    codes = []
    for model in (nn.Sequential(nn.Linear(128, 64, device=device)), Cast(nn.Linear(128, 64, device=device))):
        model[0].weight = nn.Parameter(weight.detach().clone())
        with torch.autocast(device, torch.bfloat16, enabled=isinstance(model, Cast)):
            quantize(model, "4bit", "gptq", [x], progress=False)
        codes.append(model[0].unpack()[0])
    assert torch.equal(*codes)


def test_shared_and_unreached_layers() -> None:
    model = Branches().train()
    report = quantize(model, "4bit", "gptq", [torch.randn(16, 32)], group_size=32, progress=False)
    assert [(line.name, line.method) for line in report] == [
        ("shared", "gptq"), ("unused", "rtn"), ("large", "rtn"),
    ]  # fmt: skip
    assert isinstance(model.shared, PackedLinear) and model.again is model.shared and model.training


def test_layers_in_training_are_packed_as_they_compute() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    replace_linear(model, "4bit", group_size=32, include="0")
    convert_to_fp8_training(model, "rowwise", include="1")
    weights = [layer.weight.detach().clone() for layer in model]
    x = torch.randn(3, 64)
    first = model[0](x)
    with pytest.raises(ValueError, match="0: was trained for .*32"):
        quantize(model, "4bit", group_size=64)
    with pytest.raises(ValueError, match="0: was trained for .*4bit"):
        quantize(model, "fp8")
    quantize(model, "4bit", group_size=32)
    for layer, weight in zip(model, weights, strict=True):
        assert torch.equal(layer.unpack()[0], quantize_weight(weight, "4bit", 32)[0])
    torch.testing.assert_close(model[0](x), first, rtol=0, atol=64 * 2**-24 * first.abs().max().item())


def test_patterns_and_ways_to_give_batches() -> None:
    def batches() -> Iterator[tuple[Tensor]]:
        yield from ((torch.randint(0, 64, (2, 8)),) for _ in range(2))

    model = tiny_llama()
    report = quantize(
        model,
        "4bit",
        "gptq",
        batches(),
        group_size=32,
        include=["mlp.*"],
        exclude="layers.0.*",
        progress=False,
    )
    assert [line.name for line in report] == [
        f"model.layers.1.mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")
    ]
    assert type(model.lm_head) is nn.Linear


def test_packed_layers_keep_their_codes_when_the_model_is_cast() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    for precision in ("4bit", "fp8"):
        model[0 if precision == "4bit" else 1] = nn.Sequential(nn.Linear(64, 64))
        quantize(model[0 if precision == "4bit" else 1], precision, group_size=64)
    before = [buffer.clone() for buffer in model.buffers()]
    model.half()
    assert all(
        a.dtype == b.dtype and torch.equal(a.float(), b.float())
        for a, b in zip(model.buffers(), before, strict=True)
    )
    assert model(torch.randn(2, 64).half()).dtype == torch.float16


def test_report_prints_and_is_data() -> None:
    model = nn.Sequential(nn.Linear(128, 64))
    report = quantize(model, "4bit", "gptq", [torch.randn(32, 128)], progress=False)
    (line,) = report.to_dicts()
    assert line["bits"] == 4.125 and 0 < line["output_error"] < line["weight_error"] * 2
    text = str(report)
    assert "64 × 128" in text and "4.12" in text and f"{line['weight_error']:.4f}" in text
    assert "1 layers" in text


def test_bad_wishes_change_nothing() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 6))
    wishes = [
        (dict(method="gtpq"), "rtn"),
        (dict(method="gptq"), "calibration"),
        (dict(method="gptq", precision="fp8", calibration=[1]), "4bit"),
        (dict(method="gptq", calibration=[]), "at least one batch"),
        (dict(percdamp=-1.0), "percdamp"),
        (dict(precision="1.58bit"), "1: 1.58bit .* 6"),
        (dict(group_size=48), "0: .*48"),
    ]
    for wish, message in wishes:
        with pytest.raises(ValueError, match=message):
            quantize(model, **({"group_size": 64} | wish))
    with torch.no_grad():
        model[1].weight[3, 4] = torch.inf
    with pytest.raises(ValueError, match="1: its weight is not finite"):
        quantize(model, group_size=64)
    with torch.no_grad():
        model[1].weight[3, 4] = 0
    with pytest.raises(ValueError, match="0: .* not finite"):
        quantize(model, "4bit", "gptq", [torch.full((2, 64), torch.nan)], group_size=64, progress=False)
    assert all(type(layer) is nn.Linear for layer in model)
