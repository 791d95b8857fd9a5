"""The tokenizer that goes with a model: its files, and whether they are whole."""

from __future__ import annotations

from pathlib import Path

from jinja2 import TemplateSyntaxError
from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from zeta.export.errors import ExportError
from zeta.export.json_file import read_json

_JSON_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json")
_TEMPLATE = "chat_template.jinja"
TOKENIZER_FILES = ("tokenizer.json", *_JSON_FILES, "merges.txt", "tokenizer.model", _TEMPLATE)


def check_tokenizer(folder: Path, vocab_size: int) -> None:
    """Check that a model that embeds `vocab_size` tokens can be served with the tokenizer in `folder`.

    Raises:
        ExportError: a file is missing, truncated or foreign, or a token has no embedding.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ExportError(f"{path}: missing; save the tokenizer of the training data there")
    try:
        tokens = Tokenizer.from_file(str(path)).get_vocab_size()
    except Exception as error:  # tokenizers raises bare Exception
        raise ExportError(f"{path}: truncated, or no tokenizer: {error}") from error
    if tokens > vocab_size:
        raise ExportError(f"{path}: has {tokens} tokens, but the model embeds {vocab_size}; it is another's")
    for name in _JSON_FILES:
        if (folder / name).is_file():
            read_json(folder / name)
    if (folder / _TEMPLATE).is_file():
        _check_template(folder / _TEMPLATE)


def _check_template(path: Path) -> None:
    try:
        template = path.read_text(encoding="utf-8")
        render_jinja_template([[{"role": "user", "content": ""}]], chat_template=template)
    except (UnicodeDecodeError, TemplateSyntaxError) as error:
        raise ExportError(f"{path}: truncated, or no template: {error}") from error
    except Exception:  # noqa: BLE001  A template may refuse this conversation.
        return
