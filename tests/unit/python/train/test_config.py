import json
from pathlib import Path
from typing import Any

import pytest

from zeta.train import TrainError
from zeta.train.config import check_config, complete_config
from zeta.train.config_file import read_config
from zeta.train.precision import choose_dtype

BASE: dict[str, Any] = {"train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": 3}}
EXAMPLE = Path(__file__).parents[4] / "examples" / "ds_config.json"


def check(config: dict[str, Any]) -> int:
    return check_config(complete_config(config, "fp32", None), Path("ds.json"))


def test_accepts_what_deepspeed_knows() -> None:
    sections = {"steps_per_print": 10, "checkpoint": {"load_universal": True}, "aio": {}, "comms_logger": {}}
    scheduler = {"scheduler": {"type": "WarmupLR"}, "flops_profiler": {}, "csv_monitor": {}, "bf16": {}}
    assert check({**BASE, **sections, **scheduler}) == 4
    assert check(read_config(EXAMPLE)) == read_config(EXAMPLE)["train_micro_batch_size_per_gpu"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gradient_cliping": 1.0}, ["'gradient_cliping'", "did you mean gradient_clipping?"]),
        ({"zero_optimization": {"stage": 3, "overlap_com": True}}, ["did you mean overlap_comm?"]),
        ({"zero_optimization": {"stage": "x"}}, ["stage", "'x'"]),
        ({"zero_optimization": {"stage": 2}}, ["stage 3", "got 2"]),
        ({"train_batch_size": 7}, ["train_batch_size", "7"]),
        ({"train_micro_batch_size_per_gpu": None}, ["train_micro_batch_size_per_gpu"]),
        ({"fp16": {"enabled": True}, "bf16": {"enabled": True}}, ["bfloat16 and fp16"]),
    ],
)
def test_names_what_deepspeed_refuses(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(TrainError) as caught:
        check({**BASE, **change})
    message = str(caught.value)
    assert "\n" not in message
    for word in ["ds.json", *words]:
        assert word in message


def test_adam_is_pytorchs_unless_the_file_says_otherwise() -> None:
    assert complete_config(BASE, "fp32", 0.5)["optimizer"]["params"]["lr"] == 0.5
    assert complete_config(BASE, "fp32", None)["optimizer"]["params"]["torch_adam"] is True
    own = {**BASE, "optimizer": {"type": "Adam", "params": {"torch_adam": False}}}
    assert complete_config(own, "fp32", None)["optimizer"]["params"]["torch_adam"] is False
    offloaded = {**BASE, "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}
    assert "torch_adam" not in complete_config(offloaded, "fp32", None)["optimizer"]["params"]


def test_completing_leaves_the_original_alone() -> None:
    original = {**BASE, "optimizer": {"type": "AdamW", "params": {"lr": 1.0}}}
    before = json.dumps(original)
    assert complete_config(original, "bf16", 0.5)["bf16"] == {"enabled": True}
    assert json.dumps(original) == before


@pytest.mark.parametrize(
    ("choice", "config", "dtype"),
    [
        ("fp32", {}, "fp32"),
        ("bf16", {}, "bf16"),
        ("auto", {"bf16": {"enabled": True}}, "bf16"),
        ("auto", {"fp16": {"enabled": True}}, "fp16"),
        ("auto", {"bf16": {"enabled": False}}, "fp32"),
        ("auto", {"bf16": {"enabled": False}, "fp16": {"enabled": True}}, "fp16"),
        ("bf16", {"bf16": {"enabled": True}}, "bf16"),
        ("fp32", {"bf16": {"enabled": False}, "fp16": {"enabled": False}}, "fp32"),
    ],
)
def test_the_dtype_is_what_the_file_or_the_parameters_ask_for(
    choice: str, config: dict[str, Any], dtype: str
) -> None:
    assert choose_dtype(choice, config) == dtype


@pytest.mark.parametrize(
    ("choice", "config", "words"),
    [
        ("fp32", {"bf16": {"enabled": True}}, ["dtype=fp32", "bf16.enabled", "asks for bf16"]),
        ("bf16", {"fp16": {"enabled": True}}, ["dtype=bf16", "fp16.enabled", "asks for fp16"]),
        ("bf16", {"bf16": {"enabled": False}}, ["dtype=bf16", "bf16.enabled", "asks for fp32"]),
    ],
)
def test_a_contradiction_about_the_dtype_is_refused(
    choice: str, config: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(TrainError) as caught:
        choose_dtype(choice, config)
    for word in words:
        assert word in str(caught.value)
