"""The Llama that `--model`, `--zeta_params` and the data describe."""

from pathlib import Path
from typing import Any

from transformers import LlamaConfig

from zeta.train.errors import TrainError
from zeta.train.llama_config import read_llama_config
from zeta.train.model_shape import check_heads, check_packing
from zeta.train.params import ZetaParams
from zeta.train.presets import PRESETS

_OVERRIDES = {
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "intermediate_size": "intermediate_size",
    "tie_embeddings": "tie_word_embeddings",
}


def model_config(model: str, params: ZetaParams, vocab_size: int, eos_token_id: int | None) -> LlamaConfig:
    """The Llama configuration that `--model`, `--zeta_params` and the data's tokenizer describe.

    A named model has room for exactly one training example; a `config.json` keeps its own limit.

    Raises:
        TrainError: no such model, a key or a value that is no Llama's, or a shape that does not fit together.
    """
    values = _preset(model, params) if model in PRESETS else read_llama_config(Path(model), vocab_size)
    values |= {"bos_token_id": None, "eos_token_id": eos_token_id, "pad_token_id": None}
    values.setdefault("vocab_size", vocab_size)
    for key, name in _OVERRIDES.items():
        if getattr(params, key) is not None:
            values[name] = getattr(params, key)
    check_heads(values)
    config = LlamaConfig(**values)
    check_packing(config, params)
    limit = config.max_position_embeddings
    if (params.seq_len or 0) > limit:
        raise TrainError(
            f"expected seq_len ≤ {limit}, max_position_embeddings of {model}, got {params.seq_len}"
        )
    return config


def _preset(name: str, params: ZetaParams) -> dict[str, Any]:
    shape = vars(PRESETS[name])
    values = {llama_name: shape[key] for key, llama_name in _OVERRIDES.items()}
    return values | {"max_position_embeddings": params.seq_len or shape["seq_len"]}
