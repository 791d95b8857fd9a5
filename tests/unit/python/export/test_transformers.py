"""The exported folder, read by transformers and compressed-tensors, against the forward of training itself.

Tolerances of whole models, as root mean squares relative to the logits. u is the unit roundoff of the dtype:
2⁻²⁴ for fp32, 2⁻⁸ for bf16; a rounding errs by u/√3 in root mean square.

4bit. Both sides multiply by the same Ŵ; only the order of summation and, in bf16, the rounding of outputs
differ. A layer adds about √K·u in fp32 (K ≤ 256: 16u ≈ 1e-6) or u/√3 in bf16; 14 layers and a head add up as
independent errors, √15 ≈ 4 times that: 4e-6 and 9e-3. Twice as much is allowed.

1.58bit. transformers multiplies by the activations q/s rounded to the dtype, training by the integers q:
again √K·u. But a difference δ in a layer's input flips a code q where x·s lies within δ·s of a half, and
a flip moves the input by 1/s = max|x|/127. In fp32 (δ ≈ 1e-6·|x|) a code flips with probability 2δs ≈
1e-4, so about one token in a hundred sees one, which moves its outputs by max|x|/(127·√(K/2)·rms x) ≈
4/(127·8) ≈ 0.4 %; 8 quantised inputs make √(8·0.01)·0.4 % ≈ 0.1 % of the logits; twice as much is
allowed. In bf16 (δ ≈ u/√3·|x|) one code in seven flips: noise of √(1/7)·4/127 ≈ 1.2 % of an input, √8
times that in the logits: 3.4 %; 4 % is allowed.

fp8. A code of 3 bits of fraction flips where x/s lies within δ of the middle of two, with probability up to
2δ/(2⁻⁴|x|), and moves the input by up to 2⁻³ of it, 2⁻⁴ in the mean. In fp32 (32·1e-6) one token in a hundred sees
a flip, worth 2⁻⁴/√128 ≈ 0.6 % of its outputs: as for ternary 0.2 %. In bf16 the reader rounds x, s and x/s too, so
δ ≈ 3u/√3·|x| and one code in five flips: √(1/5)·2⁻⁴ ≈ 2.8 % of an input, 8 % of the logits.

w4a8. The reader's scale of a token is max|x| / 127.5, that of training max|x| / 127: codes round otherwise, each
with an error of 1/√12 of a step. With max|x| ≈ 3.2 rms x that is √2·3.2/(127·√12) ≈ 1 % of an input, √8 times that
in the logits: 2.9 %.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import CASES
from tiny_text import PROBE, PROMPT
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from zeta.export import ExportReport, export
from zeta.export.source import Source, open_source
from zeta.quant import BitLinear, quantize_weight, unpack_int4, unpack_ternary

RMS_TOLERANCE = {"1.58bit,fp32": 2e-3, "1.58bit,bf16": 4e-2, "4bit,fp32": 1e-5, "4bit,bf16": 2e-2}
RMS_TOLERANCE |= {"fp8,fp32": 2e-3, "fp8,bf16": 8e-2, "w4a8,fp32": 4e-2}
NEW_TOKENS = 64


@pytest.fixture(autouse=True)
def eager() -> object:
    """transformers compiles its ternary layers, which takes up to a minute; the formulas are the same."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def exported(trained: Path, case: str) -> Path:
    out = trained / case / "exported"
    export(trained / case / "step-000002", out)
    return out


def forward_of_training(trained: Path, case: str) -> dict[str, Tensor]:
    return torch.load(trained / case / "forward.pt")


@torch.no_grad()
def error(model: PreTrainedModel, expected: Tensor) -> float:
    """Root mean square of the logits' differences, relative to that of the logits."""
    difference = model(PROBE).logits.float() - expected
    return (difference.square().mean() / expected.square().mean()).sqrt().item()


def greedy(model: PreTrainedModel) -> Tensor:
    return model.generate(PROMPT, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False)


def test_logits_and_greedy_tokens_are_those_of_training(trained: Path, case: str, exported: Path) -> None:
    expected = forward_of_training(trained, case)
    model = AutoModelForCausalLM.from_pretrained(exported)
    assert model.dtype == (torch.bfloat16 if case.endswith("bf16") else torch.float32)
    assert error(model, expected["logits"]) <= RMS_TOLERANCE[case]
    assert len(expected["tokens"].unique()) > 15, "the model learnt nothing: equal tokens would prove nothing"
    if not case.startswith("w4a8"):  # whose reader rounds activations otherwise: near ties turn over
        assert torch.equal(greedy(model), expected["tokens"])


@torch.no_grad()
def test_each_layer_is_that_of_training(trained: Path, case: str, exported: Path) -> None:
    """On equal inputs, where no code can flip, element by element.

    Summing K products in fp32 errs by at most K·2⁻²⁴ of the sum of their magnitudes, on either side.
    transformers' ternary layer rounds each activation before, and the output twice more than training
    does.
    """
    source = open_source(trained / case / "step-000002")
    model = AutoModelForCausalLM.from_pretrained(exported)
    model(PROBE)  # compressed-tensors unpacks at the first forward
    unit = torch.finfo(source.dtype).eps / 2
    generator = torch.Generator().manual_seed(0)
    for name in (name.removesuffix(".weight") for name in source.weights.shapes if "proj" in name):
        weight = source.seen(f"{name}.weight")
        layer = BitLinear.from_linear(plain_linear(weight), source.precision, source.group_size)
        # In a batch, as a model has it: compressed-tensors takes rows of a matrix for one token's.
        x = torch.randn(2, 8, weight.shape[1], generator=generator).to(source.dtype)
        expected, found = layer(x).double(), model.get_submodule(name)(x).double()
        magnitude = x.double().abs() @ used_weight(weight, source).double().abs().T
        # fp8: the reader rounds its scale and quotient in other places, and a code that flips moves an activation
        # by up to 2⁻³ of it. w4a8: either rounds by up to half a step of max|x| / 127.
        input_unit = {"1.58bit": unit, "4bit": 0.0, "fp8": 2**-3, "w4a8": 0.0}[source.precision]
        bound = (2 * weight.shape[1] * 2**-24 + 1.1 * input_unit) * magnitude + 4 * unit * expected.abs()
        if source.precision == "w4a8":
            step = x.double().abs().amax(-1, keepdim=True) / 127
            bound = bound + step * used_weight(weight, source).double().abs().sum(1)
        assert ((found - expected).abs() <= bound).all(), name


def plain_linear(weight: Tensor) -> torch.nn.Linear:
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight = torch.nn.Parameter(weight)
    return linear


def used_weight(weight: Tensor, source: Source) -> Tensor:
    codes, scale = quantize_weight(weight, source.precision, source.group_size)
    return (
        codes.float().unflatten(1, (scale.shape[-1], -1)) * scale.reshape(-1, scale.shape[-1], 1)
    ).flatten(1)


def test_flipped_scale_would_be_noticed(trained: Path, case: str, exported: Path, tmp_path: Path) -> None:
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(exported / "model.safetensors")
    flipped = {k: 1 / v if k.endswith("weight_scale") else v for k, v in tensors.items()}
    save_file(flipped, tmp_path / "model.safetensors", metadata={"format": "pt"})
    expected = forward_of_training(trained, case)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert error(model, expected["logits"]) > 10 * RMS_TOLERANCE[case]
    assert not torch.equal(greedy(model), expected["tokens"])


def test_codes_are_those_of_the_forward(trained: Path, case: str, exported: Path) -> None:
    """A bf16 forward quantises the bf16 copy: codes of the fp32 master are others."""
    precision, dtype = case.split(",")
    source = open_source(trained / case / "step-000002")
    tensors = load_file(exported / "model.safetensors")
    differing = 0
    layers = [name.removesuffix(".weight") for name in source.weights.shapes if "proj" in name]
    assert len(layers) == 14
    for layer in layers:
        if precision in ("4bit", "w4a8"):
            codes = unpack_int4(tensors[f"{layer}.weight_packed"])
        elif precision == "fp8":
            codes = tensors[f"{layer}.weight"].float()
        else:
            codes = unpack_ternary(tensors[f"{layer}.weight"])
        master = source.weights.load(f"{layer}.weight")
        assert master.dtype == torch.float32
        seen = master.bfloat16() if dtype == "bf16" else master
        codes_of = lambda w: quantize_weight(w, precision, source.group_size)[0].to(codes.dtype)  # noqa: B023, E731
        assert torch.equal(codes, codes_of(seen)), layer
        differing += int((codes != codes_of(master)).sum())
    assert (differing > 0) == (dtype == "bf16")


def test_tokenizer_and_template_load(exported: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(exported)
    assert tokenizer.decode(tokenizer("def ship():\n")["input_ids"]) == "def ship():\n"
    message = [{"role": "user", "content": "ahoy"}]
    assert tokenizer.apply_chat_template(message, tokenize=False) == "ahoy"
    assert (
        AutoModelForCausalLM.from_pretrained(exported).generation_config.eos_token_id
        == tokenizer.eos_token_id
    )


@pytest.mark.parametrize("precision, limit", [("1.58bit", 0.126), ("4bit", 0.26), ("fp8", 0.51)])
def test_size(trained: Path, tmp_path: Path, precision: str, limit: float) -> None:
    """Of 16 bits, ternary takes 2 (12.5 %) and a scale a layer; 4-bit 4, and 16 a group: 4.125 (25.8 %);
    fp8 8, and 16 a row of at least 128: 8.125 (50.8 %)."""
    report: ExportReport = export(trained / f"{precision},fp32" / "step-000002", tmp_path / "out")
    linear = report.sizes["linear layers"]
    assert linear.packed <= limit * linear.fp32 / 2
    on_disk = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert report.total.packed <= on_disk <= report.total.packed + 8192
