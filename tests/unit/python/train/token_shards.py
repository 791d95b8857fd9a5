"""Small token shards for tests, written as docs/design/foundation.md says."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zeta.data.byte_level_bpe import train_byte_level_bpe
from zeta.data.local_store import LocalStore
from zeta.data.manifest import Manifest, Shard, TokenizerInfo

VOCAB_SIZE = 257


def write_shards(folder: Path, train_tokens: int = 8192, validation_tokens: int = 1024) -> Path:
    """Writes shards of byte-level tokens that follow a pattern a small model can learn; returns `folder`."""
    folder.mkdir(parents=True)
    tokenizer = train_byte_level_bpe(["text"], VOCAB_SIZE)
    store = LocalStore(str(folder))
    tokenizer.write(store, "tokenizer")
    random = np.random.default_rng(0)
    shards = []
    counts = {"train": train_tokens, "validation": validation_tokens}
    for split, count in counts.items():
        tokens = np.cumsum(random.integers(1, 4, count)) % VOCAB_SIZE
        shards.append(_write_part(folder, f"{split}/part-00000.parquet", tokens.tolist()))
    info = TokenizerInfo(tokenizer.sha256, tokenizer.eos_token_id)
    Manifest("test", {}, [], info, tokenizer.vocab_size, shards, counts).write(store)
    return folder


def _write_part(folder: Path, name: str, tokens: list[int]) -> Shard:
    path = folder / name
    path.parent.mkdir()
    columns = {"document": pa.array(["memory:test"]), "tokens": pa.array([tokens], pa.list_(pa.int32()))}
    pq.write_table(pa.table(columns), path)
    data = path.read_bytes()
    return Shard(name, 1, len(tokens), len(data), hashlib.sha256(data).hexdigest())
