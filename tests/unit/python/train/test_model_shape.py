"""Which sizes fit each other."""

from typing import Any

import pytest
from transformers import LlamaConfig

from zeta.train import TrainError, ZetaParams
from zeta.train.model_shape import check_heads, check_packing

SIZES = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}


@pytest.mark.parametrize("change", [{}, {"num_key_value_heads": None}, {"head_dim": 256}, {"head_dim": None}])
def test_heads_that_fit(change: dict[str, Any]) -> None:
    check_heads(SIZES | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 3}, "num_heads must divide hidden_size, got 3 and 64"),
        ({"num_key_value_heads": 3}, "num_kv_heads must divide num_heads, got 3 and 4"),
        ({"num_attention_heads": 64}, "even head size ≤ 256, got hidden_size / num_heads = 1"),
        ({"hidden_size": 2048}, "even head size ≤ 256, got hidden_size / num_heads = 512"),
        ({"head_dim": 15}, "even head size ≤ 256, got head_dim = 15"),
        ({"head_dim": 258}, "even head size ≤ 256, got head_dim = 258"),
        ({"head_dim": 0}, "even head size ≤ 256, got head_dim = 0"),
        ({"head_dim": -2}, "even head size ≤ 256, got head_dim = -2"),
    ],
)
def test_heads_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainError, match=message):
        check_heads(SIZES | change)


@pytest.mark.parametrize(
    ("change", "precision", "group_size", "message"),
    [
        ({}, "4bit", 12, "group_size must be a multiple of 8, got 12"),
        ({}, "w4a8", 64, "w4a8 needs intermediate_size divisible by 64, got 96: change it or group_size"),
        ({}, "4bit", 64, "4bit needs intermediate_size divisible by 64, got 96: change it or group_size"),
        ({"hidden_size": 80}, "4bit", 32, "4bit needs hidden_size divisible by 32, got 80"),
        ({"head_dim": 20}, "4bit", 32, "4bit needs num_heads times head size divisible by 32, got 80"),
        (
            {"intermediate_size": 98},
            "1.58bit",
            128,
            "1.58bit needs intermediate_size divisible by 4, got 98$",
        ),
        ({"attention_bias": True}, "1.58bit", 128, "1.58bit allows no biases: set attention_bias to false"),
        ({"mlp_bias": True}, "1.58bit", 128, "1.58bit allows no biases: set mlp_bias to false"),
    ],
)
def test_layers_that_cannot_be_packed(
    change: dict[str, Any], precision: str, group_size: int, message: str
) -> None:
    config = LlamaConfig(**SIZES | change)
    with pytest.raises(TrainError, match=message):
        check_packing(config, ZetaParams(bitlinear_precision=precision, group_size=group_size))
    check_packing(config, ZetaParams(bitlinear_precision="none"))
    check_packing(LlamaConfig(**SIZES), ZetaParams(bitlinear_precision=precision, group_size=32))
