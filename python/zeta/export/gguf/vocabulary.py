"""Tokenizers in GGUF headers: byte-level BPE, which llama.cpp calls `gpt2`, with the split it has a name for.

A header that we write also holds tokenizer.json whole, under the key that GGUF has for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers import Regex as Pattern

from zeta.export.errors import ExportError
from zeta.export.json_file import read_json

_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5
_WHOLE = "tokenizer.huggingface.json"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPECIAL = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token"}


def vocabulary(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The values for the tokenizer in `folder` of a model with `config`.

    Raises:
        ExportError: llama.cpp has no such tokenizer.
    """
    path = folder / "tokenizer.json"
    whole = read_json(path)
    model = whole.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback") or whole.get("normalizer"):
        raise ExportError(
            f"{path}: expected byte-level BPE without a normalizer; GGUF files hold no other here"
        )
    tokenizer = Tokenizer.from_file(str(path))
    kinds = {added["id"]: _CONTROL if added["special"] else _USER for added in whole.get("added_tokens", [])}
    texts = [tokenizer.id_to_token(id) for id in range(int(config["vocab_size"]))]
    values: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _split_name(whole.get("pre_tokenizer"), path),
        "tokenizer.ggml.tokens": [f"[PAD{id}]" if text is None else text for id, text in enumerate(texts)],
        "tokenizer.ggml.token_type": [
            _UNUSED if text is None else kinds.get(id, _NORMAL) for id, text in enumerate(texts)
        ],
    }
    if model["merges"]:
        pairs = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        values["tokenizer.ggml.merges"] = pairs
    else:
        values["tokenizer.ggml.merges"] = [""]  # llama.cpp wants the key, GGUF a list of something
    for name, key in _SPECIAL.items():
        id = config.get(f"{key}_id")
        id = id[0] if isinstance(id, list) else id
        if id is not None:
            values[f"tokenizer.ggml.{name}_token_id"] = int(id)
    values["tokenizer.ggml.add_bos_token"] = tokenizer.encode("").ids[:1] == [config.get("bos_token_id")]
    values["tokenizer.ggml.add_eos_token"] = False
    if template := _template(folder):
        values["tokenizer.chat_template"] = template
    values[_WHOLE] = path.read_text(encoding="utf-8")
    return values


def write_tokenizer(values: dict[str, Any], folder: Path, where: Path) -> None:
    """Write the tokenizer that a header describes into `folder`, as Hugging Face's files.

    Raises:
        ExportError: it is of another kind than `vocabulary` writes.
    """
    text = values.get(_WHOLE)
    try:
        tokenizer = Tokenizer.from_str(text) if isinstance(text, str) else _build(values, where)
    except ExportError:
        raise
    except Exception as error:  # tokenizers raises bare Exception
        raise ExportError(f"{where}: holds no sound tokenizer: {error}") from error
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    }
    for name, key in _SPECIAL.items():
        id = values.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(id, int) and tokenizer.id_to_token(id) is not None:
            config[key] = tokenizer.id_to_token(id)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    if isinstance(template := values.get("tokenizer.chat_template"), str):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def special_ids(values: dict[str, Any]) -> dict[str, int]:
    """The ids that config.json has for the special tokens of a header."""
    found = {f"{key}_id": values.get(f"tokenizer.ggml.{name}_token_id") for name, key in _SPECIAL.items()}
    return {key: id for key, id in found.items() if isinstance(id, int)}


def _build(values: dict[str, Any], where: Path) -> Tokenizer:
    kind, split = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.pre")
    if kind != "gpt2" or split not in ("gpt-2", "llama-bpe"):
        raise ExportError(
            f"{where}: expected a tokenizer gpt2 of gpt-2 or llama-bpe, got {kind!r} of {split!r}; "
            "pass the folder of the model's tokenizer.json by --tokenizer"
        )
    tokens, types = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]
    ids = {text: id for id, text in enumerate(tokens) if types[id] != _UNUSED}
    merges = [tuple(merge.split(" ")) for merge in values["tokenizer.ggml.merges"] if merge]
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=split == "llama-bpe"))
    if split == "gpt-2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        pattern = pre_tokenizers.Split(Pattern(_LLAMA3), "isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pattern, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    added = [
        (text, types[id] == _CONTROL) for id, text in enumerate(tokens) if types[id] in (_CONTROL, _USER)
    ]
    for text, special in added:
        tokenizer.add_tokens([AddedToken(text, special=special, normalized=False)])
    return tokenizer


def _split_name(pre: dict[str, Any] | None, path: Path) -> str:
    """llama.cpp's name for how text is cut into words."""
    if pre and pre["type"] == "ByteLevel" and pre.get("use_regex", True) and not pre["add_prefix_space"]:
        return "gpt-2"
    parts = pre.get("pretokenizers", []) if pre and pre["type"] == "Sequence" else []
    if len(parts) == 2 and parts[0]["type"] == "Split" and parts[1]["type"] == "ByteLevel":
        if parts[0]["pattern"].get("Regex") == _LLAMA3 and not parts[1].get("use_regex", True):
            return "llama-bpe"
    raise ExportError(
        f"{path}: expected the pre-tokenizer of GPT-2 or Llama 3; llama.cpp has no name for another"
    )


def _template(folder: Path) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    template = read_json(config).get("chat_template") if config.is_file() else None
    return template if isinstance(template, str) else None
