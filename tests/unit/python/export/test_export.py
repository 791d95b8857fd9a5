"""Export end to end on untrained weights: what it accepts, writes, and refuses in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import tiny_config, tiny_model, write_tokenizer, write_zeta
from zero3_files import NAME, write_zero3

from zeta.export import ExportError, export
from zeta.quant import quantize_weight, unpack_int4


def hugging_face_folder(folder: Path, **changes: object) -> Path:
    model = tiny_model(tiny_config(**changes)).to(torch.bfloat16)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def test_run_means_its_latest_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    report = export(checkpoint.parent.parent, tmp_path / "out")
    assert report.precision == "4bit" and report.packed_layers == 7
    assert (report.plain_tensors, report.notes) == (4, [])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    assert "chat_template" in str(names) and "zeta.json" not in names
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out"}


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"../..", b"step-000099\n"])
def test_a_latest_that_names_no_checkpoint_means_the_newest(
    checkpoint: Path, tmp_path: Path, content: bytes | None
) -> None:
    """As `--resume` has it; a run killed between the rename and the file is such a one."""
    latest = checkpoint.parent / "latest"
    latest.unlink() if content is None else latest.write_bytes(content)
    older = checkpoint.parent / "step-000002"
    older.mkdir()
    (checkpoint.parent / "step-000009.tmp").mkdir()
    export(checkpoint.parent.parent, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_config_is_made_for_inference(checkpoint: Path, tmp_path: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"use_cache": False, "architectures": None, "torch_dtype": "float16"}
    (checkpoint / "config.json").write_text(json.dumps(config))
    export(checkpoint, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["architectures"] == ["LlamaForCausalLM"]
    assert written["use_cache"] is True and written["dtype"] == "float32" and "torch_dtype" not in written
    assert written["quantization_config"]["ignore"] == ["lm_head"]
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()) == {"eos_token_id": 256}


def test_sizes_count_every_tensor_once(checkpoint: Path, tmp_path: Path) -> None:
    report = export(checkpoint, tmp_path / "out")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert report.total.packed == sum(tensor.nbytes for tensor in stored.values())
    parameters = tiny_model(tiny_config(num_hidden_layers=1)).parameters()
    assert report.total.fp32 == 4 * sum(parameter.numel() for parameter in parameters)
    assert f"{report.total.ratio:.2f}×" in str(report) and "7 packed layers" in str(report)


def test_plain_folder_is_rounded_with_a_note(tmp_path: Path) -> None:
    source = hugging_face_folder(tmp_path / "source")
    report = export(source, tmp_path / "out", "4bit", group_size=32)
    assert len(report.notes) == 1 and "trained without quantisation" in report.notes[0]
    given, written = (
        load_file(source / "model.safetensors"),
        load_file(tmp_path / "out" / "model.safetensors"),
    )
    layer = "model.layers.1.mlp.down_proj"
    codes, scale = quantize_weight(given[f"{layer}.weight"], "4bit", 32)
    assert torch.equal(unpack_int4(written[f"{layer}.weight_packed"]), codes)
    assert torch.equal(written[f"{layer}.weight_scale"].float(), scale)


def test_plain_folder_stays_plain_by_default(tmp_path: Path) -> None:
    source = hugging_face_folder(tmp_path / "source", tie_word_embeddings=False)
    report = export(source, tmp_path / "out", dtype="float16", max_shard_size=200_000)
    assert report.precision == "none" and report.packed_layers == 0
    given = load_file(source / "model.safetensors")
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == given.keys() and "lm_head.weight" in given
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / "out" / file)[name], given[name].half())


@pytest.mark.parametrize("precision", ["1.58bit", "4bit"])
def test_replicated_checkpoint(tmp_path: Path, precision: str) -> None:
    """ZeRO 0 to 2: one file holds the weights as the forward saw them."""
    config = tiny_config(num_hidden_layers=1)
    config.save_pretrained(tmp_path / "step")
    write_tokenizer(tmp_path / "step" / "tokenizer")
    write_zeta(tmp_path / "step", precision, dtype="bf16")
    module = tiny_model(config).to(torch.bfloat16).state_dict()
    torch.save({"module": module}, tmp_path / "step" / "mp_rank_00_model_states.pt")
    assert export(tmp_path / "step", tmp_path / "out").packed_layers == 7
    assert torch.equal(
        load_file(tmp_path / "out" / "model.safetensors")["model.norm.weight"], module["model.norm.weight"]
    )


def test_damage_between_writing_and_reading_is_found(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the disk had turned one bit of a packed weight."""
    from zeta.export.shards import ShardWriter

    finish = ShardWriter.finish

    def finish_and_damage(writer: ShardWriter) -> None:
        finish(writer)
        path = next(tmp_path.glob("out.tmp-*")) / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-1000] ^= 1
        path.write_bytes(content)

    monkeypatch.setattr(ShardWriter, "finish", finish_and_damage)
    with pytest.raises(ExportError, match="reads back differently"):
        export(checkpoint, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def diverge(checkpoint: Path) -> None:
    parameters = dict(tiny_model(tiny_config(num_hidden_layers=1)).named_parameters())
    tensors = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    tensors["model.layers.0.mlp.up_proj.weight"][3, 5] = torch.nan
    write_zero3(checkpoint, [tensors], ranks=3)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda c: (c / "config.json").unlink(), "found neither config.json nor"),
    "truncated config": (lambda c: truncate(c / "config.json"), "config.json: not valid JSON"),
    "list as config": (lambda c: (c / "config.json").write_text("[]"), "expected a JSON object, got list"),
    "unknown model": (
        lambda c: edit_json(c / "config.json", model_type="zebra"),
        "transformers cannot build",
    ),
    "another shape": (
        lambda c: edit_json(c / "config.json", intermediate_size=384),
        r"mlp.gate_proj.weight is \[256, 128\], but config.json makes it \[384, 128\]",
    ),
    "more layers": (
        lambda c: edit_json(c / "config.json", num_hidden_layers=2, layer_types=None),
        "has no model.layers.1.self_attn.q_proj.weight",
    ),
    "fewer layers": (
        lambda c: edit_json(c / "config.json", num_hidden_layers=0, layer_types=None),
        "holds model.layers.0.self_attn.q_proj.weight, for which LlamaForCausalLM .* no place",
    ),
    "a size that is text": (
        lambda c: edit_json(c / "config.json", hidden_size="128"),
        "config.json: transformers cannot build this model: .*hidden_size.*expected int, got str",
    ),
    "a negative size": (
        lambda c: edit_json(c / "config.json", head_dim=-3),
        "config.json: transformers cannot build this model: .*negative dimension",
    ),
    "packed already": (
        lambda c: edit_json(c / "config.json", quantization_config={"quant_method": "bitnet"}),
        r"is packed already \(bitnet\)",
    ),
    "packed, says a word": (
        lambda c: edit_json(c / "config.json", quantization_config="x"),
        r"is packed already \(x\)",
    ),
    "truncated zeta.json": (lambda c: truncate(c / "zeta.json"), "zeta.json: not valid JSON"),
    "foreign zeta.json": (lambda c: (c / "zeta.json").write_text("{}"), "zeta.json: has no 'precision'"),
    "unknown dtype": (
        lambda c: edit_json(c / "zeta.json", dtype="fp8"),
        "zeta.json: expected dtype to be one of",
    ),
    "unknown precision": (lambda c: edit_json(c / "zeta.json", precision="3bit"), "precision.*got '3bit'"),
    "group that is text": (
        lambda c: edit_json(c / "zeta.json", group_size="128"),
        "zeta.json: expected group_size to be an integer, got '128'",
    ),
    "group that does not divide": (
        lambda c: edit_json(c / "zeta.json", group_size=96),
        "model.layers.0.self_attn.q_proj: expected in_features to be a multiple of group_size 96, got 128",
    ),
    "no weights": (lambda c: [path.unlink() for path in c.glob("*.pt")], "holds no DeepSpeed files"),
    "truncated weights": (lambda c: truncate(c / NAME.format(1, "optim")), "truncated, or no DeepSpeed file"),
    "no tokenizer": (lambda c: shutil.rmtree(c / "tokenizer"), "tokenizer.json: missing"),
    "truncated tokenizer": (
        lambda c: truncate(c / "tokenizer" / "tokenizer.json"),
        "truncated, or no tokenizer",
    ),
    "truncated tokenizer configuration": (
        lambda c: truncate(c / "tokenizer" / "tokenizer_config.json"),
        "tokenizer_config.json: not valid JSON",
    ),
    "truncated chat template": (
        lambda c: (c / "tokenizer" / "chat_template.jinja").write_text("{% for message in"),
        "chat_template.jinja: truncated, or no template",
    ),
    "foreign chat template": (
        lambda c: (c / "tokenizer" / "chat_template.jinja").write_bytes(b"\xff\xfe"),
        "chat_template.jinja: truncated, or no template",
    ),
    "diverged": (diverge, "mlp.up_proj.weight is not finite: training diverged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_checkpoint(checkpoint: Path, tmp_path: Path, name: str) -> None:
    damage, message = BROKEN[name]
    damage(checkpoint)
    with pytest.raises(ExportError, match=message) as caught:
        export(checkpoint, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_tokenizer_of_another_model(tmp_path: Path) -> None:
    source = hugging_face_folder(tmp_path / "source", vocab_size=200, eos_token_id=None)
    with pytest.raises(ExportError, match="has 257 tokens, but the model embeds 200"):
        export(source, tmp_path / "out")


@pytest.mark.parametrize("asked", ["1.58bit", "none"])
def test_precision_must_be_the_trained_one(checkpoint: Path, tmp_path: Path, asked: str) -> None:
    with pytest.raises(ExportError, match=f"was trained for 4bit, asked for {asked}"):
        export(checkpoint, tmp_path / "out", asked)


def test_group_size_must_be_the_trained_one(checkpoint: Path, tmp_path: Path) -> None:
    for asked in (0, 64):
        with pytest.raises(ExportError, match=f"trained with group_size 128, asked for {asked}"):
            export(checkpoint, tmp_path / "out", group_size=asked)


@pytest.mark.parametrize(
    ("precision", "group_size", "message"),
    [
        ("4bit", 0, "expected group_size to be a positive multiple of 8, got 0"),
        ("1.58bit", 128, "group_size 128 was asked for, but only 4bit and w4a8 have one, not 1.58bit"),
        (None, 128, "group_size 128 was asked for, but only 4bit and w4a8 have one, not none"),
    ],
)
def test_group_size_must_mean_something(
    tmp_path: Path, precision: str | None, group_size: int, message: str
) -> None:
    source = hugging_face_folder(tmp_path / "source")
    with pytest.raises(ExportError, match=message):
        export(source, tmp_path / "out", precision, group_size=group_size)


def test_out_must_not_hold_the_checkpoint(checkpoint: Path) -> None:
    for out in (checkpoint, checkpoint.parent):
        with pytest.raises(ExportError, match="holds the checkpoint itself"):
            export(checkpoint, out, overwrite=True)


@pytest.mark.parametrize("name", ["missing", "step-000008.tmp"])
def test_what_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="no such folder|cut off"):
        export(tmp_path / name, tmp_path / "out")
