"""``manifest.json``: what a folder of token shards holds. Written last, it says that the folder is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zeta.data.documents import Skipped
from zeta.data.errors import DataError
from zeta.data.store import Store

NAME = "manifest.json"
VERSION = 1
_CURE = ", or a damaged one: choose another folder, or delete this one and prepare the data again"


@dataclass(frozen=True)
class Shard:
    """One Parquet file: ``rows`` documents, ``tokens`` tokens, ``size`` bytes."""

    path: str
    rows: int
    tokens: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Input:
    """A document's file as it was read."""

    size: int
    sha256: str


@dataclass(frozen=True)
class TokenizerInfo:
    """``sha256`` is :attr:`zeta.data.tokenizer_folder.TokenizerFolder.sha256` of ``tokenizer/``."""

    sha256: str
    eos_token_id: int


@dataclass(frozen=True)
class Manifest:
    """The fields named in ``docs/design/foundation.md``, "Token shards"."""

    fingerprint: str
    inputs: Mapping[str, Input]
    skipped: Sequence[Skipped]
    tokenizer: TokenizerInfo
    vocab_size: int
    shards: Sequence[Shard]
    tokens: Mapping[str, int]
    version: int = VERSION

    def of_split(self, split: str) -> list[Shard]:
        """The shards of ``train`` or ``validation``.

        Raises:
            DataError: there is no such split.
        """
        if split not in self.tokens:
            raise DataError(f"expected a split of {sorted(self.tokens)}, got {split!r}")
        return [shard for shard in self.shards if shard.path.startswith(f"{split}/")]

    def write(self, store: Store) -> None:
        """Put the manifest in place."""
        store.write(NAME, (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode())

    @classmethod
    def read(cls, store: Store) -> Manifest | None:
        """The manifest of a folder, None where there is none.

        Raises:
            DataError: the file is not a manifest of this version.
        """
        if store.stat(NAME).problem:
            return None
        where = store.uri_of(NAME)
        try:
            fields: dict[str, Any] = json.loads(store.read(NAME))
            version = fields["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{where} is not a manifest of token shards{_CURE}") from error
        if version != VERSION:
            raise DataError(f"{where}: expected version {VERSION}, got {version!r}: prepare the data again")
        try:
            return cls._parse(fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where} is not a manifest of token shards{_CURE}") from error

    @classmethod
    def _parse(cls, fields: dict[str, Any]) -> Manifest:
        return cls(
            fingerprint=fields["fingerprint"],
            inputs={uri: Input(**value) for uri, value in fields["inputs"].items()},
            skipped=[Skipped(**value) for value in fields["skipped"]],
            tokenizer=TokenizerInfo(**fields["tokenizer"]),
            vocab_size=fields["vocab_size"],
            shards=[Shard(**value) for value in fields["shards"]],
            tokens=fields["tokens"],
        )
