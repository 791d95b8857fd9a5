"""Which runs may go on from a checkpoint."""

import dataclasses
from pathlib import Path

import pytest
from transformers import LlamaConfig

from zeta.train import TrainError
from zeta.train.manifest import RunManifest, check_resumable

RUN = RunManifest("4bit", 128, True, "fp32", 3, 64, 2, "data", 10, 5120)
SHAPE = {"vocab_size": 300, "hidden_size": 64, "num_attention_heads": 4, "eos_token_id": 256}


def write_checkpoint(folder: Path) -> Path:
    saved = LlamaConfig(**SHAPE)
    saved.use_cache, saved.architectures, saved.dtype = False, ["LlamaForCausalLM"], "float32"
    saved.save_pretrained(folder)
    RUN.write(folder)
    return folder


def test_the_same_run_goes_on_at_another_step(tmp_path: Path) -> None:
    now = dataclasses.replace(RUN, step=0, tokens=0, use_flash_attn=False)
    check_resumable(write_checkpoint(tmp_path), now, LlamaConfig(**SHAPE), universal=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [("precision", "none"), ("group_size", 64), ("dtype", "bf16"), ("seed", 4), ("seq_len", 32)]
    + [("world_size", 4), ("data", "other")],
)
def test_another_run_is_refused(tmp_path: Path, key: str, value: object) -> None:
    now = dataclasses.replace(RUN, **{key: value})
    with pytest.raises(TrainError, match=f"{key} {getattr(RUN, key)}, now it is {value}"):
        check_resumable(write_checkpoint(tmp_path), now, LlamaConfig(**SHAPE), universal=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_size", 128), ("rms_norm_eps", 1e-5), ("hidden_act", "relu"), ("attention_bias", True)]
    + [("rope_parameters", {"rope_type": "default", "rope_theta": 5e5}), ("max_position_embeddings", 64)]
    + [("eos_token_id", 3), ("attention_dropout", 0.5)],
)
def test_another_model_is_refused(tmp_path: Path, key: str, value: object) -> None:
    now = LlamaConfig(**(SHAPE | {key: value}))
    with pytest.raises(
        TrainError, match=f"it was trained with .*{'head_dim' if key == 'hidden_size' else key}"
    ):
        check_resumable(write_checkpoint(tmp_path), RUN, now, universal=False)


def test_a_universal_checkpoint_fits_any_number_of_ranks(tmp_path: Path) -> None:
    now = dataclasses.replace(RUN, world_size=4)
    check_resumable(write_checkpoint(tmp_path), now, LlamaConfig(**SHAPE), universal=True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("zeta.json", None, "zeta.json: No such file"),
        ("zeta.json", '{"step', "zeta.json is truncated or foreign"),
        ("zeta.json", "null", "zeta.json is foreign: expected a JSON object, got None"),
        ("config.json", "[1]", r"config.json is foreign: expected a JSON object, got \[1\]"),
        ("config.json", '{"hidden_size": "x"}', "config.json is no Llama's: .*hidden_size.*'x'"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    checkpoint = write_checkpoint(tmp_path)
    if text is None:
        (checkpoint / name).unlink()
    else:
        (checkpoint / name).write_text(text)
    with pytest.raises(TrainError, match=f"cannot resume, {checkpoint}/{message}") as caught:
        check_resumable(checkpoint, RUN, LlamaConfig(**SHAPE), universal=False)
    assert "\n" not in str(caught.value)
