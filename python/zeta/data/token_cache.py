"""A split's tokens as one flat file on this machine, so that training maps it instead of parsing Parquet."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy

from zeta.data.errors import DataError
from zeta.data.manifest import Shard
from zeta.data.store import Store

_CURE = "delete it and prepare the data again"


def default_cache_folder() -> Path:
    """``$ZETA_CACHE_DIR``, else ``$XDG_CACHE_HOME/zeta``, else ``~/.cache/zeta``."""
    if folder := os.environ.get("ZETA_CACHE_DIR"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "zeta"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process of this machine at a time fill ``folder``, creating it; others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def map_tokens(store: Store, shards: Sequence[Shard], file: Path) -> numpy.ndarray:
    """The tokens of ``shards`` one after another, read-only int32, mapped from ``file``, which is made if
    missing.

    Every shard is checked against its hash when the file is made.

    Raises:
        DataError: a shard is missing, truncated or foreign, or the disk is full.
    """
    total = sum(shard.tokens for shard in shards)
    if total == 0:
        return numpy.empty(0, dtype=numpy.int32)
    with exclusive(file.parent):
        if not file.exists() or file.stat().st_size != 4 * total:
            _fill(store, shards, file)
    return numpy.memmap(file, dtype=numpy.int32, mode="r")


def _fill(store: Store, shards: Sequence[Shard], file: Path) -> None:
    temporary = file.with_name(file.name + ".tmp")
    try:
        with open(temporary, "wb") as out:
            for shard in shards:
                out.write(_read_tokens(store, shard).tobytes())
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except OSError as error:
        raise DataError(
            f"cannot write the cache {file}: {error.strerror} (ZETA_CACHE_DIR moves it)"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _read_tokens(store: Store, shard: Shard) -> numpy.ndarray:
    from pyarrow import parquet

    data = read_checked(store, shard)
    table = parquet.read_table(io.BytesIO(data), columns=["tokens"])
    return numpy.asarray(table["tokens"].combine_chunks().flatten())


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
