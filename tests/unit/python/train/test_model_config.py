"""What becomes of a transformers config.json and of --zeta_params."""

import json
from pathlib import Path

from transformers import LlamaConfig

from zeta.train import ZetaParams
from zeta.train.model_config import model_config

LLAMA = {"model_type": "llama", "vocab_size": 300, "hidden_size": 64, "num_attention_heads": 4}


def read(folder: Path, params: ZetaParams | None = None, **values: object) -> LlamaConfig:
    path = folder / "config.json"
    path.write_text(json.dumps(LLAMA | values))
    return model_config(str(path), params or ZetaParams(), 257, 256)


def test_keys_that_are_left_out_are_transformers_own(tmp_path: Path) -> None:
    found = read(tmp_path).to_dict()
    expected = LlamaConfig(**LLAMA, bos_token_id=None, eos_token_id=256).to_dict()
    assert found == expected
    assert found["num_key_value_heads"] == 4 and found["head_dim"] == 16


def test_a_whole_config_of_transformers_is_read_back(tmp_path: Path) -> None:
    whole = LlamaConfig(
        **LLAMA, num_key_value_heads=2, rope_theta=5e5, rms_norm_eps=1e-5, bos_token_id=None, eos_token_id=256
    )
    whole.save_pretrained(tmp_path)
    found = model_config(str(tmp_path / "config.json"), ZetaParams(), 257, 256)
    assert found.to_dict() == whole.to_dict()


def test_old_names_count(tmp_path: Path) -> None:
    config = read(tmp_path, rope_theta=5e5, torch_dtype="bfloat16", transformers_version="4.40.0")
    assert config.rope_parameters["rope_theta"] == 5e5


def test_heads_follow_the_parameters_where_the_file_is_silent(tmp_path: Path) -> None:
    config = read(tmp_path, ZetaParams(num_heads=2, hidden_size=48))
    assert (config.num_key_value_heads, config.head_dim) == (2, 24)
