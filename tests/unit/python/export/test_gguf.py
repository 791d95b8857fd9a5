"""GGUF files of checkpoints and back: the same codes, scales rounded to float16, and what others make of them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import tiny_config, tiny_model, write_tokenizer, write_zeta
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from zero3_files import write_zero3

from zeta.export import ExportError, export, export_gguf, import_gguf
from zeta.export.gguf.file import GgufFile

TEXT = "def main(argument):\n    return [7, 'naïve', argument]\n"
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
CASES = [
    ("1.58bit", "TQ1_0", {}),
    ("1.58bit", "TQ2_0", {"tie_word_embeddings": False}),
    ("1.58bit", "Q4_0", {}),
    ("1.58bit", "Q8_0", {}),
    ("4bit", "Q4_0", {"rope_parameters": LLAMA3, "max_position_embeddings": 16384}),
    ("4bit", "Q8_0", {"attention_bias": True, "head_dim": 32}),
    ("none", "Q8_0", {}),
    ("none", "F32", {"mlp_bias": True}),
]


@pytest.fixture(autouse=True)
def eager() -> object:
    with torch.compiler.set_stance("force_eager"):
        yield


def checkpoint(folder: Path, precision: str, dtype: str = "fp32", **changes: object) -> Path:
    """An untrained one whose weights have the sizes of trained ones."""
    folder.mkdir(parents=True)
    sizes = {"hidden_size": 256, "intermediate_size": 512, "max_position_embeddings": 256}
    config = tiny_config(**(sizes | changes))
    model = tiny_model(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 if name.endswith("bias") else parameter * 3)
    write_zero3(folder, [{k: v.detach() for k, v in model.named_parameters()}], ranks=1)
    config.save_pretrained(folder)
    write_tokenizer(folder / "tokenizer")
    write_zeta(folder, precision, dtype=dtype)
    return folder


def tokens() -> Tensor:
    return torch.tensor([list(TEXT.encode())])


@torch.no_grad()
def logits(folder: Path) -> Tensor:
    return AutoModelForCausalLM.from_pretrained(folder)(tokens()).logits[0].float()


def error(got: Tensor, expected: Tensor) -> float:
    return ((got - expected).square().mean() / expected.square().mean()).sqrt().item()


@pytest.mark.parametrize("precision, type, changes", CASES)
def test_there_and_back_gives_the_folder_that_export_gives(
    precision: str, type: str, changes: dict[str, object], tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "step", precision, **changes)
    report = export_gguf(source, tmp_path / "model.gguf", type=type)
    assert report.packed_layers == (0 if type == "F32" else 14)
    import_gguf(tmp_path / "model.gguf", tmp_path / "back")
    if precision == "4bit" and type == "Q4_0":
        export(source, tmp_path / "direct")
        direct, back = (load_file(tmp_path / name / "model.safetensors") for name in ("direct", "back"))
        assert direct.keys() == back.keys()  # σ has bfloat16's 8 bits, so that nothing is rounded
        assert all(torch.equal(tensor, back[name]) for name, tensor in direct.items())
    if precision == "1.58bit" and not type.startswith("Q"):
        export(source, tmp_path / "direct")
        direct, back = (load_file(tmp_path / name / "model.safetensors") for name in ("direct", "back"))
        assert direct.keys() == back.keys()
        for name, tensor in direct.items():
            scale = name.endswith("weight_scale")
            assert torch.equal(tensor.half().float() if scale else tensor, back[name]), name
    text = AutoTokenizer.from_pretrained(tmp_path / "back")(TEXT)["input_ids"]
    assert text == AutoTokenizer.from_pretrained(source / "tokenizer")(TEXT)["input_ids"]
    config = AutoModelForCausalLM.from_pretrained(tmp_path / "back").config
    wanted = tiny_config(**changes)
    for key in ("rope_parameters", "rms_norm_eps", "num_key_value_heads", "tie_word_embeddings", "eos_token_id"):
        got, want = getattr(config, key), getattr(wanted, key)
        assert got == (pytest.approx(want) if key == "rms_norm_eps" else want), key
