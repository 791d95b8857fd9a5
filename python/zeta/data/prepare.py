"""Text in, token shards out: find, split, plan, tokenise, and write the manifest last."""

from __future__ import annotations

from zeta.data import output
from zeta.data.documents import Document
from zeta.data.errors import DataError
from zeta.data.job import Job
from zeta.data.manifest import NAME
from zeta.data.options import PrepareOptions
from zeta.data.progress import Progress
from zeta.data.split import split_by_hash, split_by_input
from zeta.data.store import Store, open_store
from zeta.data.summary import Summary
from zeta.data.survey import Survey, survey
from zeta.data.tokenizer_choice import TokenizerChoice

_NAMED_SKIPS = 20


def prepare(options: PrepareOptions, progress: Progress | None = None) -> Summary:
    """Do what ``python -m zeta.data prepare`` does.

    The same inputs and options give the same files, byte for byte, whatever ``num_cpus`` and however often
    the run was killed and started again. Shards that a killed run left are used where their hashes hold.

    Raises:
        DataError: nothing can be read, the output holds something else or is being written by another run,
            or the disk is full; nothing half-written is left.
    """
    progress = progress or Progress(None)
    store = open_store(options.output)
    tokenizer = TokenizerChoice.parse(options.tokenizer, options.vocab_size)
    found = _survey(options, store, progress)
    job = Job(store, found, _split(options, found), tokenizer, options.num_cpus)
    with store.lock():
        finished = output.claim(store, job.fingerprint, options.overwrite)
        if finished:
            return Summary(store.uri, finished, nothing_to_do=True)
        return job.run(progress)


def _survey(options: PrepareOptions, store: Store, progress: Progress) -> Survey:
    # What is held out comes first, so that a file given as both is held out.
    inputs = [*options.validation_inputs, *options.inputs]
    found = survey(inputs, store.uri, options.selection, options.max_file_size, options.num_cpus, progress)
    bad = [item for item in found.skipped if item.reason != "empty"]
    for item in bad[:_NAMED_SKIPS]:
        progress.note(f"skipped {item.uri}: {item.reason}")
    if len(bad) > _NAMED_SKIPS:
        progress.note(f"skipped {len(bad) - _NAMED_SKIPS} more; {store.uri_of(NAME)} will name them")
    if not found.documents:
        raise DataError(f"none of the {len(found.skipped)} input files can be used")
    return found


def _split(options: PrepareOptions, found: Survey) -> dict[str, list[Document]]:
    held_out = len(options.validation_inputs)
    if not held_out:
        return split_by_hash(found.documents, options.validation_fraction, options.seed)
    train = [document for document in found.documents if document.source >= held_out]
    return split_by_input(train, [document for document in found.documents if document.source < held_out])
