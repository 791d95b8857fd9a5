"""A Hugging Face tokenizer folder, held in memory: read, checked, written, used to encode."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from zeta.data.errors import DataError
from zeta.data.store import Store, open_store

if TYPE_CHECKING:
    import numpy
    from tokenizers import Tokenizer

_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
_PIECE_CHARACTERS = 2**20
_LINE_END = re.compile(r"\n(?=\S)")


@dataclass(frozen=True)
class TokenizerFolder:
    """The files of the folder by name. ``tokenizer.json`` decides how text becomes tokens."""

    files: Mapping[str, bytes]

    @classmethod
    def load(cls, uri: str) -> TokenizerFolder:
        """Read the folder at ``uri``, or the one around it if ``uri`` is a ``tokenizer.json``.

        Raises:
            DataError: there is no ``tokenizer.json``, it does not parse, or no end-of-text token is named.
        """
        store = open_store(uri)
        if store.is_file():
            store, name = store.parent()
            if name != "tokenizer.json":
                raise DataError(f"expected a tokenizer folder or a tokenizer.json, got {uri}")
        folder = cls.read(store, "")
        try:
            folder.eos_token_id  # noqa: B018
        except DataError as error:
            raise DataError(f"tokenizer {store.uri}: {error}") from error
        return folder

    @classmethod
    def read(cls, store: Store, folder: str) -> TokenizerFolder:
        """Read the known files of a folder in ``store``; those that are not there are left out."""
        names = [name for name in _FILES if not store.stat(_join(folder, name)).problem]
        return cls({name: store.read(_join(folder, name)) for name in names})

    def write(self, store: Store, folder: str) -> None:
        """Write every file, ``tokenizer.json`` last."""
        for name in sorted(self.files, key=lambda name: name == "tokenizer.json"):
            store.write(_join(folder, name), self.files[name])

    @cached_property
    def sha256(self) -> str:
        """Of all files, names and bytes, in the order of their names."""
        digest = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            digest.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
        return digest.hexdigest()

    @property
    def tokenizer(self) -> Tokenizer:
        """The parsed tokenizer, shared. Text that spells a special token is encoded as plain text.

        Raises:
            DataError: ``tokenizer.json`` is missing or does not parse.
        """
        if "tokenizer.json" not in self.files:
            raise DataError("there is no tokenizer.json")
        return _parse(self.files["tokenizer.json"])

    @property
    def eos_token_id(self) -> int:
        """The token that ends every document.

        Raises:
            DataError: none is named, or it is not in the vocabulary.
        """
        tokenizer, name = self.tokenizer, self._eos_token()
        token = tokenizer.token_to_id(name)
        if token is None:
            raise DataError(f"eos_token {name!r} is not in the vocabulary of tokenizer.json")
        return token

    @property
    def vocab_size(self) -> int:
        """One more than the largest token, added ones included."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str) -> numpy.ndarray:
        """The int32 tokens of one document, ended by the end-of-text token; nothing is put in front.

        Encoding needs about a hundred bytes a character, so a long text goes piece by piece, cut at line
        ends, where byte-level tokenizers cut anyway.
        """
        import numpy

        tokenizer, ids = self.tokenizer, []
        for piece in _cut(text):
            encoding = tokenizer.encode_batch_fast([piece], add_special_tokens=False)[0]
            ids.append(numpy.array(encoding.ids, dtype=numpy.int32))
        return numpy.concatenate([*ids, numpy.array([self.eos_token_id], dtype=numpy.int32)])

    def _eos_token(self) -> str:
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            try:
                token = json.loads(self.files.get(name, b"{}")).get("eos_token")
            except (ValueError, AttributeError) as error:
                raise DataError(f"{name} does not parse: {error}") from error
            if token:
                return str(token["content"] if isinstance(token, dict) else token)
        raise DataError(
            'it names no end-of-text token: add {"eos_token": "…"} to a tokenizer_config.json beside it'
        )


@lru_cache(maxsize=2)
def _parse(data: bytes) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises bare Exception
        raise DataError(f"tokenizer.json does not parse: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _cut(text: str) -> Iterator[str]:
    begin = 0
    while len(text) - begin > _PIECE_CHARACTERS:
        line_end = _LINE_END.search(text, begin + _PIECE_CHARACTERS)
        if line_end is None:
            break
        yield text[begin : line_end.end()]
        begin = line_end.end()
    yield text[begin:]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
