"""One file that is whole or absent: written aside, synced to the disk, renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zeta.durable import sync
from zeta.export.errors import ExportError


@contextmanager
def new_file(out: Path, overwrite: bool, magic: bytes) -> Iterator[Path]:
    """Give the path of a file that becomes `out` when the block ends, and is removed if the block raises.

    Args:
        out: the final place; its folder is made if need be.
        overwrite: replace an `out` that exists, in one step.
        magic: the first bytes by which a file that may be replaced is known.
    Raises:
        ExportError: `out` exists and may not be replaced.
    """
    if out.exists() or out.is_symlink():
        if not overwrite:
            raise ExportError(f"{out}: exists; choose another place, or pass --overwrite to replace it")
        if out.is_symlink() or not out.is_file() or not _starts_with(out, magic):
            raise ExportError(f"{out}: exists and is no {magic.decode()} file; it will not be overwritten")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f"{out.name}.tmp-{os.getpid()}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(out)
        sync(out.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
