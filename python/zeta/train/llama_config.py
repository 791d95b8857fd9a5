"""A Llama's `config.json`, given as `--model`."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig
from transformers.activations import ACT2FN

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest
from zeta.train.presets import PRESETS

_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
_OLD_KEYS = ("torch_dtype", "rope_theta", "rope_scaling")  # Still read by transformers, no longer written.


def read_llama_config(path: Path, vocab_size: int) -> dict[str, Any]:
    """Reads the values of a Llama's file, completed by transformers' own for the keys that it leaves out.

    `head_dim` and `num_key_value_heads` stay None there: they follow the shape.

    Raises:
        TrainError: no such file, a key or a value that is no Llama's, or fewer tokens than the data has.
    """
    if not path.is_file():
        raise TrainError(f"--model {path}: neither a file nor one of {', '.join(PRESETS)}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        model_type = values["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainError(f"--model {path}: not a transformers config.json: {error}") from error
    if model_type != "llama":
        raise TrainError(f"--model {path}: expected model_type llama, got {model_type}")
    known = {*LlamaConfig().to_dict(), *_OLD_KEYS}
    for key in values:
        if key not in known:
            raise TrainError(f"--model {path}: a Llama's config.json has no key {key!r}{nearest(key, known)}")
    config = _llama_config(path, values)
    if config.vocab_size < vocab_size and "vocab_size" in values:
        raise TrainError(
            f"--model {path}: its vocab_size {values['vocab_size']} is below the data's {vocab_size}"
        )
    own = {key: values.get(key) for key in ("head_dim", "num_key_value_heads")}
    own |= {"vocab_size": values.get("vocab_size", vocab_size)}
    return config.to_dict() | own


def _llama_config(path: Path, values: dict[str, Any]) -> LlamaConfig:
    """transformers' reading of `values`, which checks their types."""
    for key in _SIZES:
        if isinstance(values.get(key), int) and values[key] < 1:
            raise TrainError(f"--model {path}: {key} must be at least 1, got {values[key]}")
    try:
        config = LlamaConfig(**values)
    except (StrictDataclassError, KeyError, TypeError, ValueError) as error:
        raise TrainError(f"--model {path}: {' '.join(str(error).split())}") from error
    if config.hidden_act not in ACT2FN:
        hint = nearest(config.hidden_act, ACT2FN)
        raise TrainError(f"--model {path}: there is no hidden_act {config.hidden_act!r}{hint}")
    return config
