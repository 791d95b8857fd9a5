"""A split's tokens as one flat file on this machine, so that training maps it instead of parsing Parquet."""

from __future__ import annotations

import fcntl
import hashlib
import io
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import numpy

from zeta.data.cache_folder import exclusive, reserve
from zeta.data.errors import DataError
from zeta.data.manifest import Shard
from zeta.data.store import Store

_CURE = "delete it and prepare the data again"


def map_tokens(store: Store, shards: Sequence[Shard], file: Path) -> numpy.ndarray:
    """The tokens of ``shards`` one after another, read-only int32, mapped from ``file``, which is made if
    missing.

    Every shard is checked against its hash when the file is made. While the array lives, the file is in use
    and stays in the cache.

    Raises:
        DataError: a shard is missing, truncated or foreign, or the disk is full.
    """
    total = sum(shard.tokens for shard in shards)
    if total == 0:
        return numpy.empty(0, dtype=numpy.int32)
    try:
        with exclusive(file.parent):
            if not file.exists() or file.stat().st_size != 4 * total:
                _fill(store, shards, file, 4 * total)
            os.utime(file.parent)  # the longest unused goes first
            return numpy.frombuffer(_map(file), dtype=numpy.int32)
    except OSError as error:
        reason = f"{error.strerror} (ZETA_CACHE_DIR moves it)"
        raise DataError(f"cannot use the cache {file}: {reason}") from error


def _map(file: Path) -> mmap.mmap:
    with open(file, "rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)  # held until the mapping, which has the handle too, is gone
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


def _fill(store: Store, shards: Sequence[Shard], file: Path, size: int) -> None:
    temporary = file.with_name(file.name + ".tmp")
    try:
        reserve(temporary, size)
        with open(temporary, "r+b") as out:
            for shard in shards:
                out.write(_read_tokens(store, shard).tobytes())
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _read_tokens(store: Store, shard: Shard) -> numpy.ndarray:
    from pyarrow import parquet

    data = read_checked(store, shard)
    table = parquet.read_table(io.BytesIO(data), columns=["tokens"])
    tokens = numpy.asarray(table["tokens"].combine_chunks().flatten())
    if len(tokens) != shard.tokens:
        found = f"the manifest says {shard.tokens} tokens, it has {len(tokens)}"
        raise DataError(f"shard {store.uri_of(shard.path)} is foreign: {found}; {_CURE}")
    return tokens


def read_checked(store: Store, shard: Shard) -> bytes:
    """The bytes of a shard, which are those the manifest means.

    Raises:
        DataError: it is missing, truncated or foreign.
    """
    where = store.uri_of(shard.path)
    try:
        data = store.read(shard.path)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise DataError(f"cannot read shard {where}: {reason}; {_CURE}") from error
    if len(data) != shard.size:
        found = f"expected {shard.size} bytes, got {len(data)}"
        raise DataError(f"shard {where} is truncated or foreign: {found}; {_CURE}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != shard.sha256:
        found = f"expected sha256 {shard.sha256[:8]}…, got {digest[:8]}…"
        raise DataError(f"shard {where} is foreign: {found}; {_CURE}")
    return data
