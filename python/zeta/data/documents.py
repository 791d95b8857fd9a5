"""A document is one file of text. Reading it says why when it cannot be used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zeta.data.store import Entry, Store


class UnusableDocument(Exception):
    """The message is the reason, as it goes into the manifest."""


@dataclass(frozen=True)
class Document:
    """A file that was read and found usable.

    ``source`` counts the stores of the run, ``name`` is the file's name there, ``sha256`` that of its bytes.
    """

    uri: str
    size: int
    sha256: str
    source: int
    name: str


@dataclass(frozen=True)
class Skipped:
    """A file left out, and why."""

    uri: str
    reason: str


def examine(store: Store, source: int, entry: Entry, max_file_size: int) -> Document:
    """Read a listed file and vouch for it.

    Raises:
        UnusableDocument: it is missing, unreadable, empty, over ``max_file_size`` bytes or not UTF-8.
    """
    if entry.problem:
        raise UnusableDocument(entry.problem)
    if entry.size > max_file_size:
        raise UnusableDocument(f"over the size limit ({entry.size} bytes > {max_file_size})")
    data = _read(store, entry.name)
    _decode(data)
    digest = hashlib.sha256(data).hexdigest()
    return Document(store.uri_of(entry.name), len(data), digest, source, entry.name)


def read_text(store: Store, document: Document) -> str:
    """Read a document again.

    Raises:
        UnusableDocument: it vanished or is no longer what was examined.
    """
    data = _read(store, document.name)
    if hashlib.sha256(data).hexdigest() != document.sha256:
        raise UnusableDocument("changed during the run")
    return _decode(data)


def _read(store: Store, name: str) -> bytes:
    try:
        return store.read(name)
    except OSError as error:
        raise UnusableDocument(f"cannot be read: {error.strerror or str(error).splitlines()[0]}") from error


def _decode(data: bytes) -> str:
    if not data:
        raise UnusableDocument("empty")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusableDocument(f"not UTF-8 (byte {error.start})") from error
