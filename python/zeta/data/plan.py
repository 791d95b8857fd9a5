"""What a run will write, decided before it starts: which documents go into which shard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from zeta.data.documents import Document

# Shards small enough to spread over the CPUs and to lose little when killed, large enough to read well.
_SHARDS = 64
_SMALLEST_SHARD = 2**20
_LARGEST_SHARD = 128 * 2**20


@dataclass(frozen=True)
class PlannedShard:
    """The documents of one Parquet file, in the order of its rows."""

    path: str
    documents: Sequence[Document]

    @property
    def size(self) -> int:
        """Bytes of text."""
        return sum(document.size for document in self.documents)

    def key(self, tokenizer_sha256: str) -> str:
        """Two shards of equal key have equal bytes."""
        content = [[document.uri, document.sha256] for document in self.documents]
        return digest([tokenizer_sha256, self.path, content])

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PlannedShard:
        fields = json.loads(text)
        return cls(fields["path"], [Document(**document) for document in fields["documents"]])


def plan_shards(splits: Mapping[str, Sequence[Document]]) -> list[PlannedShard]:
    """Fill shards with the documents of each split in the order of their URIs.

    The shard size depends on the size of all text only, so that the same input always gives the same shards.
    """
    total = sum(document.size for documents in splits.values() for document in documents)
    limit = min(max(total // _SHARDS, _SMALLEST_SHARD), _LARGEST_SHARD)
    shards: list[PlannedShard] = []
    for split, documents in splits.items():
        for number, group in enumerate(_groups(sorted(documents, key=lambda document: document.uri), limit)):
            shards.append(PlannedShard(f"{split}/part-{number:05d}.parquet", group))
    return shards


def digest(value: object) -> str:
    """The sha256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _groups(documents: Sequence[Document], limit: int) -> list[list[Document]]:
    groups: list[list[Document]] = []
    size = limit
    for document in documents:
        if size + document.size > limit:
            groups.append([])
            size = 0
        groups[-1].append(document)
        size += document.size
    return groups
