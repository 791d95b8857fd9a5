"""The files beside the weights: configuration, generation defaults, tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from zeta.export.dtypes import dtype_name
from zeta.export.skeleton import Skeleton
from zeta.export.source import Source
from zeta.export.tokenizer import TOKENIZER_FILES

_TRAINING_ONLY = ("torch_dtype", "_attn_implementation", "attn_implementation", "_name_or_path")
_GENERATION_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")


def write_metadata(
    folder: Path, source: Source, skeleton: Skeleton, dtype: torch.dtype, quantization: dict[str, Any] | None
) -> None:
    """Write config.json, generation_config.json, the tokenizer and its chat template into `folder`."""
    config = {key: value for key, value in source.config.items() if key not in _TRAINING_ONLY}
    config |= {"architectures": [skeleton.architecture], "dtype": dtype_name(dtype), "use_cache": True}
    if quantization is not None:
        config["quantization_config"] = quantization
    write_json(folder / "config.json", config)
    given = source.folder / "generation_config.json"
    if given.is_file():
        shutil.copyfile(given, folder / given.name)
    else:
        generation = {key: config[key] for key in _GENERATION_KEYS if config.get(key) is not None}
        write_json(folder / given.name, generation)
    for name in TOKENIZER_FILES:
        if (source.tokenizer / name).is_file():
            shutil.copyfile(source.tokenizer / name, folder / name)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object as Hugging Face's files have it."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
