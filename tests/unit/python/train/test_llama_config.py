"""What a Llama's config.json may say."""

import json
from pathlib import Path

import pytest

from zeta.train import TrainError
from zeta.train.llama_config import read_llama_config

LLAMA = {"model_type": "llama", "vocab_size": 300, "hidden_size": 64, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hiden_size": 32}, ["'hiden_size'", "did you mean hidden_size?"]),
        ({"quantization_config": {}}, ["'quantization_config'"]),
        ({"hidden_size": "256"}, ["hidden_size", "expected int", "'256'"]),
        ({"hidden_size": True}, ["hidden_size", "expected int"]),
        ({"hidden_size": -64}, ["hidden_size", "at least 1", "-64"]),
        ({"num_attention_heads": 0}, ["num_attention_heads", "at least 1"]),
        ({"num_attention_heads": 3}, ["hidden size (64)", "(3)"]),
        ({"hidden_act": "siluu"}, ["hidden_act", "'siluu'", "did you mean silu?"]),
        ({"head_dim": "16"}, ["head_dim", "expected int", "'16'"]),
        ({"vocab_size": 256}, ["vocab_size 256", "below the data's 257"]),
        ({"model_type": "bert"}, ["expected model_type llama", "bert"]),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, ["rope_parameters", "factor"]),
    ],
)
def test_names_what_no_llama_has(tmp_path: Path, values: dict[str, object], words: list[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA | values))
    with pytest.raises(TrainError) as caught:
        read_llama_config(path, 257)
    message = str(caught.value)
    assert "\n" not in message
    for word in ["--model", "config.json", *words]:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, ["neither a file"]), ("{", ["not a transformers"]), ("[1]", ["not a transformers"])],
)
def test_names_a_file_that_is_none(tmp_path: Path, text: str | None, words: list[str]) -> None:
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TrainError) as caught:
        read_llama_config(path, 257)
    for word in [str(path), *words]:
        assert word in str(caught.value)
