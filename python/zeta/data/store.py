"""A place that holds files under names: a folder on this machine or a prefix in an S3 bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from zeta.data.errors import DataError


@dataclass(frozen=True)
class Entry:
    """A file found by :meth:`Store.walk`. ``problem`` says why it cannot be read, if that is known."""

    name: str
    size: int
    problem: str | None = None


class Store(Protocol):
    """Files under one root. Picklable, so that a worker process can open the same place.

    Names are relative, with ``/`` between parts. Every method raises :class:`DataError`, naming the URI,
    when the place cannot be reached or refuses; :meth:`read` raises plain ``OSError`` for a file, which
    callers may skip.
    """

    @property
    def uri(self) -> str:
        """The root, without credentials or options, without a trailing slash."""

    def uri_of(self, name: str) -> str:
        """The URI of one file, safe to print and to store as UTF-8."""

    def resolved(self) -> Store:
        """The same place under its one true name, without symbolic links on the way to the root."""

    def is_file(self) -> bool:
        """Whether the root is a single file rather than a folder; false when there is nothing."""

    def parent(self) -> tuple[Store, str]:
        """The folder that holds the root, and the root's name in it."""

    def stat(self, name: str) -> Entry:
        """One file, missing or not."""

    def walk(self, skip: Callable[[str], bool] | None = None) -> Iterator[Entry]:
        """Every file below the root, in no particular order; nothing when the root does not exist.

        A folder that cannot be listed is an entry with a problem, its name ending in ``/``. Files in
        folders whose name ``skip`` answers true to may be left out.
        """

    def sizes(self, folder: str) -> dict[str, int]:
        """Names (from the root) and sizes of the files directly or deeper in ``folder``."""

    def read(self, name: str) -> bytes:
        """The whole file.

        Raises:
            OSError: it is missing or cannot be read.
        """

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place whole or not at all, durably; an older one of this name is replaced."""

    def delete(self, name: str) -> None:
        """Remove a file; a missing one is no error."""

    def delete_folder(self, name: str) -> None:
        """Remove a folder with all it holds; a missing one is no error."""

    def lock(self) -> AbstractContextManager[None]:
        """Hold the place for one writer; created if missing.

        Raises:
            DataError: another process holds it.
        """


def open_store(uri: str) -> Store:
    """Open a path, ``file:///…`` or ``s3://bucket/prefix[?endpoint_override=…&region=…&scheme=…]``.

    S3 credentials and endpoint come from ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and
    ``AWS_ENDPOINT_URL`` unless the query names an endpoint. Nothing is contacted yet.

    Raises:
        DataError: the scheme is none of these, or the URI names no place.
    """
    if uri.startswith("s3://"):
        from zeta.data.s3_store import S3Store

        return S3Store.parse(uri)
    if "://" in uri and not uri.startswith("file://"):
        raise DataError(f"expected a path, file:///… or s3://…, got {uri!r}")
    from zeta.data.local_store import LocalStore

    return LocalStore.parse(uri)
