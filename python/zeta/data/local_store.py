"""A folder on this machine."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from zeta.data.errors import DataError
from zeta.data.store import Entry
from zeta.durable import sync

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class LocalStore:
    """Files below ``root``, an absolute path. Names keep the bytes of the file system (surrogate-escaped)."""

    root: str

    @classmethod
    def parse(cls, uri: str) -> LocalStore:
        """``file:///…`` is percent-decoded; anything else is a path as it stands."""
        path = (
            os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))) if uri.startswith("file://") else uri
        )
        if not path or (uri.startswith("file://") and not path.startswith("/")):
            raise DataError(f"expected a path or file:///absolute/path, got {uri!r}")
        return cls(os.path.abspath(os.path.expanduser(path)))

    @property
    def uri(self) -> str:
        return "file://" + quote(os.fsencode(self.root))

    def uri_of(self, name: str) -> str:
        return "file://" + quote(os.fsencode(self._path(name)))

    def resolved(self) -> LocalStore:
        return LocalStore(os.path.realpath(self.root))

    def is_file(self) -> bool:
        return os.path.lexists(self.root) and not os.path.isdir(self.root)

    def parent(self) -> tuple[LocalStore, str]:
        return LocalStore(os.path.dirname(self.root)), os.path.basename(self.root)

    def stat(self, name: str) -> Entry:
        try:
            status = os.stat(self._path(name))
        except OSError as error:
            return Entry(name, 0, f"cannot be read: {error.strerror}")
        problem = None if stat.S_ISREG(status.st_mode) else "not a regular file"
        return Entry(name, status.st_size, problem)

    def walk(self, skip: Callable[[str], bool] | None = None) -> Iterator[Entry]:
        problems: list[OSError] = []
        # Links to folders are not followed: they make loops, and copies of what is listed anyway.
        for path, folders, files in os.walk(self.root, onerror=problems.append):
            below = path[len(self.root) :].lstrip("/")
            if skip:
                folders[:] = [folder for folder in folders if not skip(os.path.join(below, folder))]
            for file in files:
                yield self.stat(os.path.join(below, file))
        for error in problems:
            if not isinstance(error, FileNotFoundError):
                name = os.path.relpath(error.filename, self.root) + "/"
                yield Entry(name, 0, f"cannot be read: {error.strerror}")

    def sizes(self, folder: str) -> dict[str, int]:
        below = LocalStore(self._path(folder))
        return {os.path.join(folder, entry.name): entry.size for entry in below.walk()}

    def read(self, name: str) -> bytes:
        return Path(self._path(name)).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        path = Path(self._path(name))
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync(path.parent)
        except OSError as error:
            cure = "; free some space and run this again" if error.errno in _FULL else ""
            raise DataError(f"cannot write {self.uri_of(name)}: {error.strerror}{cure}") from error
        finally:
            with suppress(OSError):
                temporary.unlink()

    def delete(self, name: str) -> None:
        try:
            Path(self._path(name)).unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"cannot delete {self.uri_of(name)}: {error.strerror}") from error

    def delete_folder(self, name: str) -> None:
        shutil.rmtree(self._path(name), ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        try:
            os.makedirs(self.root, exist_ok=True)
            # The kernel drops the lock with its holder, even a killed one.
            handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise DataError(f"cannot use {self.uri} as a folder: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise DataError(
                f"another run is writing to {self.uri}: wait for it, or choose another output"
            ) from error
        finally:
            os.close(handle)

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name)
