"""Export of 1bit, 2bit, 8bit and w4a8 layers, against the forward of training."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_gguf import checkpoint, error, logits, tokens
from tiny_model import tiny_config, tiny_model
from torch import Tensor

from zeta.export import ExportError, export, export_gguf, import_gguf
from zeta.export.__main__ import main
from zeta.export.gguf.file import GgufFile
from zeta.quant import pack_int2, quantize_weight, replace_linear, unpack_gguf

Q = "model.layers.0.self_attn.v_proj"


@pytest.fixture(autouse=True)
def eager() -> object:
    with torch.compiler.set_stance("force_eager"):
        yield


def weights() -> dict[str, Tensor]:
    """Those of `checkpoint`."""
    model = tiny_model(tiny_config(hidden_size=256, intermediate_size=512))
    return {name: tensor * 3 for name, tensor in model.state_dict().items()}


@torch.no_grad()
def trained(precision: str) -> Tensor:
    model = tiny_model(tiny_config(hidden_size=256, intermediate_size=512))
    model.load_state_dict(weights())
    replace_linear(model, precision)
    return model(tokens()).logits[0]


# 1bit: as 1.58bit in test_transformers.py. 8bit: compressed-tensors divides by max|x| / 127.5 where we multiply by
# 127 / max|x|, so that both round, each by 0.7 % of an input; test_gguf.py says what becomes of that: √2 · 5 % = 7 %.
@pytest.mark.parametrize("precision, allowed", [("1bit", 2e-3), ("8bit", 0.09)])
def test_transformers_gives_the_logits_of_training(precision: str, allowed: float, tmp_path: Path) -> None:
    export(checkpoint(tmp_path / "step", precision), tmp_path / "model")
    expected, got = trained(precision), logits(tmp_path / "model")
    print(f"{precision}: {error(got, expected):.2g}")
    assert error(got, expected) < allowed
    assert error(got.flip(0), expected) > 0.3


def test_two_bits_are_stored_as_documented(tmp_path: Path) -> None:
    report = export(checkpoint(tmp_path / "step", "2bit"), tmp_path / "model")
    assert report.packed_layers == 14
    stored = load_file(tmp_path / "model" / "model.safetensors")
    codes, scale = quantize_weight(weights()[f"{Q}.weight"], "2bit")
    assert torch.equal(stored[f"{Q}.weight"], pack_int2(codes))
    assert torch.equal(stored[f"{Q}.weight_scale"], scale.bfloat16())


def test_eight_bits_are_stored_as_documented(tmp_path: Path) -> None:
    export(checkpoint(tmp_path / "step", "8bit", "bf16"), tmp_path / "model")
    stored = load_file(tmp_path / "model" / "model.safetensors")
    codes, scale = quantize_weight(weights()[f"{Q}.weight"].bfloat16(), "8bit")
    assert torch.equal(stored[f"{Q}.weight"], codes) and codes.dtype == torch.int8
    assert torch.equal(stored[f"{Q}.weight_scale"], scale.bfloat16())


@pytest.mark.parametrize(
    "precision, type", [("1bit", "TQ1_0"), ("2bit", "Q4_0"), ("w4a8", "Q4_0"), ("8bit", "Q8_0")]
)
def test_gguf_holds_the_codes(precision: str, type: str, tmp_path: Path) -> None:
    export_gguf(checkpoint(tmp_path / "step", precision), tmp_path / "model.gguf", type=type)
    codes, scale = unpack_gguf(GgufFile(tmp_path / "model.gguf").load("blk.0.attn_v.weight"), type)
    expected, expected_scale = quantize_weight(weights()[f"{Q}.weight"], precision)
    assert torch.equal(codes, expected)
    blocks = scale.shape[1] // expected_scale.shape[-1]
    assert torch.equal(scale, expected_scale.half().float().repeat_interleave(blocks, -1).expand_as(scale))
    report = import_gguf(tmp_path / "model.gguf", tmp_path / "back")
    assert report.precision == {"1bit": "1.58bit", "2bit": "4bit", "w4a8": "4bit", "8bit": "none"}[precision]


@pytest.mark.parametrize("precision", ["2bit", "8bit"])
def test_a_layer_that_does_not_fit_is_named(precision: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "step", precision, intermediate_size=510)
    with pytest.raises(ExportError, match=r"layers.0.mlp.gate_proj: .*multiple of 4 .*got 510 and 256"):
        export(source, tmp_path / "model")


def test_command_takes_them(tmp_path: Path) -> None:
    source = str(checkpoint(tmp_path / "step", "none"))
    for precision in ("1bit", "2bit", "w4a8", "8bit"):
        assert main([source, str(tmp_path / precision), "--precision", precision]) == 0
