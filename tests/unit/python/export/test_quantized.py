"""export_quantized: what zeta.quant.quantize made, as a folder that others read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import tiny_config, tiny_model, write_tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from zeta.export import ExportError, export_quantized
from zeta.quant import PackedLinear, quantize
from zeta.quant.pack import unpack_int4


@pytest.fixture
def tokenizer(tmp_path: Path) -> PreTrainedTokenizerFast:
    write_tokenizer(tmp_path / "tokenizer")
    return AutoTokenizer.from_pretrained(tmp_path / "tokenizer")


def prompts() -> Tensor:
    torch.manual_seed(2)
    return torch.randint(0, 256, (4, 24))


def gptq_model(dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    model = tiny_model(tiny_config()).to(dtype)
    quantize(model, "4bit", "gptq", [prompts()], group_size=32, progress=False)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_transformers_computes_what_the_model_did(
    dtype: torch.dtype, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    pytest.importorskip("compressed_tensors")
    model = gptq_model(dtype)
    report = export_quantized(model, tokenizer, tmp_path / "out")
    assert report.packed_layers == 14
    stored = load_file(tmp_path / "out/model.safetensors")
    for name, layer in model.named_modules():
        if isinstance(layer, PackedLinear):
            codes, scale = layer.unpack()
            assert torch.equal(unpack_int4(stored[f"{name}.weight_packed"]), codes)
            assert torch.equal(stored[f"{name}.weight_scale"].float(), scale)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        expected, actual = model(prompts()).logits.float(), loaded(prompts()).logits.float()
    eps = torch.finfo(dtype).eps  # the same weights; products and their roundings in another order
    assert (actual - expected).norm() < 16 * eps * expected.norm()


@pytest.mark.parametrize("precision", ["1.58bit", "fp8"])
def test_rounded_models_too(precision: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model = tiny_model(tiny_config())
    quantize(model, precision, progress=False)
    report = export_quantized(model, tokenizer, tmp_path / "out", dtype="bfloat16")
    assert report.precision == precision and report.packed_layers == 14


def test_refuses_what_no_folder_can_say(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model = tiny_model(tiny_config())
    with pytest.raises(ExportError, match="no quantised layer"):
        export_quantized(model, tokenizer, tmp_path / "out")
    quantize(model, exclude=["lm_head", "layers.1.mlp.up_proj"], progress=False)
    with pytest.raises(ExportError, match=r"layers\.1\.mlp\.up_proj: is not quantised"):
        export_quantized(model, tokenizer, tmp_path / "out")
    quantize(model, group_size=64, progress=False)
    with pytest.raises(ExportError, match=r"layers\.1\.mlp\.up_proj: is quantised otherwise"):
        export_quantized(model, tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()
