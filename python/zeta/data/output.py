"""Is the output folder ours to write, and what in it is left over?"""

from __future__ import annotations

from collections.abc import Collection

from zeta.data import journal, manifest
from zeta.data.errors import DataError
from zeta.data.manifest import Manifest
from zeta.data.split import SPLITS
from zeta.data.store import Store
from zeta.data.tokenizer_folder import TokenizerFolder


def claim(store: Store, fingerprint: str, overwrite: bool) -> Manifest | None:
    """Make the folder ours for a run of ``fingerprint``; the caller holds its lock.

    Returns:
        The manifest if that very run was finished before and all its files are there, and then changes
        nothing. Else None; the folder holds no manifest any more.

    Raises:
        DataError: it holds other shards and ``overwrite`` is false, or something that is not ours.
    """
    present = Manifest.read(store)
    if present is None:
        if not journal.is_open(store) and next(store.walk(), None) is not None:
            raise DataError(
                f"output {store.uri} holds files that are not token shards: choose an empty folder"
            )
    elif present.fingerprint == fingerprint:
        if _is_whole(store, present):
            if journal.is_open(store):
                journal.close_journal(store)
            return present
    elif not overwrite:
        raise DataError(
            f"output {store.uri} was made from other inputs or options: "
            "choose another output, or replace it with --overwrite"
        )
    journal.open_journal(store, fingerprint)
    store.delete(manifest.NAME)
    return None


def remove_strays(store: Store, shards: Collection[str]) -> None:
    """Delete temporary files, and every shard but ``shards``."""
    for name in store.sizes(""):
        folder, _, file = name.rpartition("/")
        temporary = file.startswith(".") and file.endswith(".tmp")
        if temporary or (folder in SPLITS and name not in shards):
            store.delete(name)


def _is_whole(store: Store, present: Manifest) -> bool:
    sizes = store.sizes("")
    return (
        all(sizes.get(shard.path) == shard.size for shard in present.shards)
        and TokenizerFolder.read(store, "tokenizer").sha256 == present.tokenizer.sha256
    )
