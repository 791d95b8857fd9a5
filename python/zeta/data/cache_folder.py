"""The cache of this machine: folders that processes share, of which the longest unused go when it is full.

A folder's ``lock`` file is held by who fills or removes it, its data files by who maps them. The kernel drops a
lock with its holder, even a killed one, and a folder that was removed in part is filled again.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zeta.byte_size import byte_size
from zeta.data.errors import DataError

_DEFAULT_LIMIT = "32GiB"


def default_cache_folder() -> Path:
    """``$ZETA_CACHE_DIR``, else ``$XDG_CACHE_HOME/zeta``, else ``~/.cache/zeta``."""
    if folder := os.environ.get("ZETA_CACHE_DIR"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "zeta"


def cache_limit() -> int:
    """The bytes that the cache may hold: ``$ZETA_CACHE_SIZE``, such as ``500GB``, else 32 GiB.

    Raises:
        DataError: the variable holds no size.
    """
    try:
        return byte_size(os.environ.get("ZETA_CACHE_SIZE") or _DEFAULT_LIMIT)
    except argparse.ArgumentTypeError as error:
        raise DataError(f"ZETA_CACHE_SIZE: {error}") from error


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process of this machine at a time work on ``folder``, creating it; others wait."""
    handle = None
    while handle is None:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process removed the folder since
            handle = _lock_present(folder / "lock")
    try:
        yield
    finally:
        os.close(handle)


def reserve(file: Path, size: int) -> None:
    """Create ``file``, empty but of ``size`` bytes, and keep the cache to its limit.

    For that the longest unused of the folders beside the file's go. Those in use stay, and so may exceed it.
    The caller holds ``exclusive(file.parent)``.

    Raises:
        DataError: the limit is no size.
        OSError: the file cannot be created.
    """
    excess = size - cache_limit()
    with exclusive(file.parent.parent):  # else two would count on the same room
        folders = [folder for folder in file.parent.parent.iterdir() if folder.is_dir()]
        held = {folder: _size(folder) for folder in folders}
        excess += sum(held.values())
        for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime_ns):
            if excess > 0 and folder != file.parent and _remove(folder):
                excess -= held[folder]
        with open(file, "wb") as out:
            out.truncate(size)


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # renamed since: who fills the folder has finished
            size += path.stat().st_size if path.is_file() else 0
    return size


def _remove(folder: Path) -> bool:
    """Remove a folder unless a process works on it or maps one of its files."""
    aside = folder.with_name(f"{folder.name}.{os.getpid()}.removed")
    handles = []
    try:
        for path in (folder / "lock", *folder.glob("*.int32")):
            handles.append(_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
        folder.rename(aside)
    except OSError:  # in use, or another user's
        return False
    finally:
        for handle in handles:
            os.close(handle)
    shutil.rmtree(aside, ignore_errors=True)
    return True


def _lock(path: Path, operation: int) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, operation)
    except OSError:
        os.close(handle)
        raise
    return handle


def _lock_present(path: Path) -> int | None:
    """Wait for the lock; None if its file is no longer the one of this name."""
    handle = _lock(path, fcntl.LOCK_EX)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    os.close(handle)
    return None
