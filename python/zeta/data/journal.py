"""Notes beside the output while it is made, from which a later run goes on: one file for each finished part.

A note is written after the part it speaks of is in place. The folder disappears when the manifest stands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from zeta.data.documents import Skipped
from zeta.data.manifest import Shard
from zeta.data.plan import PlannedShard
from zeta.data.store import Store
from zeta.data.tokenizer_folder import TokenizerFolder

FOLDER = ".prepare"


@dataclass(frozen=True)
class FinishedShard:
    """``key`` is that of the :class:`PlannedShard`; ``skipped`` could not be read any more."""

    key: str
    shard: Shard
    skipped: Sequence[Skipped]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> FinishedShard:
        fields = json.loads(text)
        return cls(fields["key"], Shard(**fields["shard"]), [Skipped(**value) for value in fields["skipped"]])


def open_journal(store: Store, fingerprint: str) -> None:
    """Mark the folder as an output being made, so that a later run knows it for its own."""
    store.write(f"{FOLDER}/job.json", json.dumps({"fingerprint": fingerprint}).encode())


def is_open(store: Store) -> bool:
    """Whether a run began here and did not finish."""
    return not store.stat(f"{FOLDER}/job.json").problem


def close_journal(store: Store) -> None:
    """Forget the notes. The mark goes last, so that a killed clean-up is finished by the next run."""
    for name in store.sizes(FOLDER):
        if name != f"{FOLDER}/job.json":
            store.delete(name)
    store.delete_folder(FOLDER)


def note_shard(store: Store, finished: FinishedShard) -> None:
    """Remember a shard that is in place."""
    store.write(_note(finished.shard.path), finished.to_json().encode())


def find_shard(store: Store, planned: PlannedShard, tokenizer_sha256: str) -> FinishedShard | None:
    """The finished form of ``planned``, if an earlier run left it and its bytes are still those."""
    try:
        finished = FinishedShard.from_json(store.read(_note(planned.path)))
        if finished.key != planned.key(tokenizer_sha256):
            return None
        data = store.read(planned.path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return finished if hashlib.sha256(data).hexdigest() == finished.shard.sha256 else None


def note_tokenizer(store: Store, key: str, tokenizer: TokenizerFolder) -> None:
    """Remember that ``tokenizer/`` is in place; ``key`` names what it was trained on."""
    store.write(f"{FOLDER}/tokenizer.json", json.dumps({"key": key, "sha256": tokenizer.sha256}).encode())


def find_tokenizer(store: Store, key: str) -> TokenizerFolder | None:
    """The tokenizer that an earlier run left, if it was made from the same and is still whole."""
    try:
        note = json.loads(store.read(f"{FOLDER}/tokenizer.json"))
        tokenizer = TokenizerFolder.read(store, "tokenizer")
    except (OSError, ValueError):
        return None
    return tokenizer if note == {"key": key, "sha256": tokenizer.sha256} else None


def _note(path: str) -> str:
    return f"{FOLDER}/{path.replace('/', '-')}.json"
