"""The files beside the weights: configuration, generation defaults, tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from zeta.export.dtypes import dtype_name
from zeta.export.errors import ExportError
from zeta.export.skeleton import Skeleton
from zeta.export.source import Source

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)
_TRAINING_ONLY = ("torch_dtype", "_attn_implementation", "attn_implementation", "_name_or_path")
_GENERATION_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")


def check_tokenizer(source: Source, skeleton: Skeleton) -> None:
    """Check that the tokenizer is there and names no token that the model has no embedding for.

    Raises:
        ExportError: it is missing, truncated, or of another model.
    """
    path = source.tokenizer / "tokenizer.json"
    if not path.is_file():
        raise ExportError(f"{path}: missing; save the tokenizer of the training data there")
    try:
        tokens = Tokenizer.from_file(str(path)).get_vocab_size()
    except Exception as error:  # tokenizers raises bare Exception
        raise ExportError(f"{path}: truncated, or no tokenizer: {error}") from error
    if tokens > skeleton.vocab_size:
        raise ExportError(
            f"{path}: has {tokens} tokens, but the model embeds {skeleton.vocab_size}; it is another's"
        )


def write_metadata(
    folder: Path, source: Source, skeleton: Skeleton, dtype: torch.dtype, quantization: dict[str, Any] | None
) -> None:
    """Write config.json, generation_config.json, the tokenizer and its chat template into `folder`."""
    config = {key: value for key, value in source.config.items() if key not in _TRAINING_ONLY}
    config |= {"architectures": [skeleton.architecture], "dtype": dtype_name(dtype), "use_cache": True}
    if quantization is not None:
        config["quantization_config"] = quantization
    _write_json(folder / "config.json", config)
    given = source.folder / "generation_config.json"
    if given.is_file():
        shutil.copyfile(given, folder / given.name)
    else:
        generation = {key: config[key] for key in _GENERATION_KEYS if config.get(key) is not None}
        _write_json(folder / given.name, generation)
    for name in _TOKENIZER_FILES:
        if (source.tokenizer / name).is_file():
            shutil.copyfile(source.tokenizer / name, folder / name)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
