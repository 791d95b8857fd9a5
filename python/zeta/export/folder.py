"""Folders that are whole or absent: written aside, synced to the disk, renamed.

A folder being written is called `OUT.tmp-PID` and is locked by its writer. A writer that was killed leaves
one behind without a lock; the next one for the same OUT removes it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zeta.durable import sync, sync_tree
from zeta.export.errors import ExportError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def new_folder(out: Path, overwrite: bool, marker: str = "config.json") -> Iterator[Path]:
    """Give an empty folder that becomes `out` when the block ends, and is removed if the block raises.

    Args:
        out: the final place; its parent is made if need be.
        overwrite: replace an `out` that exists, in one step: readers see the old folder or the new one.
        marker: the file by which a folder that may be replaced is known.
    Raises:
        ExportError: `out` exists and may not be replaced, or another process is writing it.
    """
    check_replaceable(out, overwrite, marker)
    out.parent.mkdir(parents=True, exist_ok=True)
    name_of_leftover = re.compile(re.escape(f"{out.name}.tmp-") + "[0-9]+")
    for leftover in [path for path in out.parent.iterdir() if name_of_leftover.fullmatch(path.name)]:
        _remove_leftover(leftover)
    temporary = out.with_name(f"{out.name}.tmp-{os.getpid()}")
    temporary.mkdir()
    lock = _lock(temporary)
    try:
        yield temporary
        sync_tree(temporary)
        _publish(temporary, out)
    finally:
        os.close(lock)
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(out: Path, overwrite: bool, marker: str = "config.json") -> None:
    """Raise ExportError if `out` exists, unless it holds `marker` or is empty and `overwrite` is set."""
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise ExportError(f"{out}: exists; choose another place, or pass --overwrite to replace it")
    if out.is_symlink() or not out.is_dir() or (any(out.iterdir()) and not (out / marker).exists()):
        raise ExportError(f"{out}: exists and is no model folder (no {marker}); it will not be overwritten")


def _remove_leftover(folder: Path) -> None:
    try:
        os.close(_lock(folder))
    except BlockingIOError as error:
        raise ExportError(
            f"{folder}: another process is exporting there; wait for it, or choose another place"
        ) from error
    shutil.rmtree(folder)


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _publish(temporary: Path, out: Path) -> None:
    """Put `temporary` in the place of `out`; a folder that was there goes to the temporary name."""
    if out.exists():
        _exchange(temporary, out)
    else:
        temporary.rename(out)
    sync(out.parent)


def _exchange(a: Path, b: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE):
        reason = os.strerror(ctypes.get_errno())
        raise ExportError(
            f"{b}: this file system cannot replace a folder in one step ({reason}); remove it first"
        )
