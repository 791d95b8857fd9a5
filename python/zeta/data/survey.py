"""Find the input files and look at each once: its hash, and whether it is usable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from zeta.data.documents import Document, Skipped, UnusableDocument, examine
from zeta.data.errors import DataError
from zeta.data.progress import Progress
from zeta.data.selection import Selection
from zeta.data.store import Entry, Store, open_store


@dataclass
class Survey:
    """What the inputs hold. ``documents`` and ``skipped`` are sorted by URI, without repeats."""

    stores: list[Store]
    documents: list[Document] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def survey(
    inputs: Sequence[str],
    output_uri: str,
    selection: Selection,
    max_file_size: int,
    num_cpus: int,
    progress: Progress,
) -> Survey:
    """List ``inputs`` and read every selected file.

    A file named itself is taken whatever its suffix. What lies below ``output_uri`` is left out.

    Raises:
        DataError: an input does not exist, lies inside the output, or holds no selected file.
    """
    stores, listed = _list_all(inputs, output_uri, selection)
    result = Survey(stores)

    def look(item: tuple[str, tuple[int, Entry]]) -> tuple[int, Document | Skipped]:
        uri, (source, entry) = item
        try:
            return entry.size, examine(stores[source], source, entry, max_file_size)
        except UnusableDocument as reason:
            return entry.size, Skipped(uri, str(reason))

    total = sum(entry.size for _, entry in listed.values())
    with progress.stage("reading", total) as stage, ThreadPoolExecutor(num_cpus) as pool:
        for size, outcome in pool.map(look, sorted(listed.items())):
            if isinstance(outcome, Document):
                result.documents.append(outcome)
            else:
                result.skipped.append(outcome)
            stage.advance(size)
    return result


def _list_all(
    inputs: Sequence[str], output_uri: str, selection: Selection
) -> tuple[list[Store], dict[str, tuple[int, Entry]]]:
    """The store of each input, and by URI where each file is; one listed twice belongs to the first input."""
    stores: list[Store] = []
    listed: dict[str, tuple[int, Entry]] = {}
    output = f"{open_store(output_uri).resolved().uri}/"
    for uri in inputs:
        store, entries = _list(uri, selection)
        true = store.resolved()
        if f"{true.uri}/".startswith(output):
            raise DataError(f"input {store.uri} lies inside the output {output_uri}: choose another output")
        kept = {
            store.uri_of(entry.name): entry
            for entry in entries
            if not true.uri_of(entry.name).startswith(output)
        }
        if not kept:
            raise DataError(f"no file to read in {store.uri}: check the path, or choose files with --include")
        for file_uri, entry in kept.items():
            listed.setdefault(file_uri, (len(stores), entry))
        stores.append(store)
    return stores, listed


def _list(uri: str, selection: Selection) -> tuple[Store, Iterator[Entry]]:
    store = open_store(uri)
    if store.is_file():
        folder, name = store.parent()
        return folder, iter([folder.stat(name)])
    listed = store.walk(selection.excludes)
    return store, (entry for entry in listed if selection.wants(entry.name) or entry.name.endswith("/"))
