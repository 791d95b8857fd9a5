"""The Ray Data pipeline: read a shard's documents, tokenise them, write the shard.

A row is a whole shard, so that what a shard holds does not depend on how Ray cuts and schedules blocks; Ray
fuses the three steps into one task a shard. Every step is a pure function of its row and may be repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

import numpy
import pyarrow
from pyarrow import parquet

from zeta.data.documents import Skipped, UnusableDocument, read_text
from zeta.data.errors import DataError
from zeta.data.journal import FinishedShard, note_shard
from zeta.data.manifest import Shard
from zeta.data.plan import PlannedShard
from zeta.data.store import Store
from zeta.data.tokenizer_folder import TokenizerFolder

_COLUMNS = {"document": pyarrow.string(), "tokens": pyarrow.list_(pyarrow.int32())}
_ROW_GROUP = 1024


@dataclass(frozen=True)
class Pipeline:
    """What every worker process needs: where documents come from, the tokenizer, where shards go."""

    sources: Sequence[Store]
    tokenizer: TokenizerFolder
    output: Store

    def run(self, shards: Sequence[PlannedShard]) -> Generator[FinishedShard, None, None]:
        """Make the shards, giving each when it is in place. Ray must be running; closing the iterator stops
        the work.

        Raises:
            DataError: a shard could not be written.
        """
        import ray.data

        rows = [{"shard": shard.to_json()} for shard in shards]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        for step in (self.read, self.tokenise, self.write):
            dataset = dataset.map_batches(step, batch_size=1, batch_format="pyarrow")
        with closing(iter(dataset.iter_batches(batch_size=1, batch_format="pyarrow"))) as results:
            for row in results:
                if error := row["error"][0].as_py():
                    raise DataError(error)
                yield FinishedShard.from_json(row["finished"][0].as_py())

    def read(self, row: pyarrow.Table) -> pyarrow.Table:
        """``shard`` → ``shard, documents, texts, skipped``; what cannot be used is in the last alone."""
        documents, texts, skipped = [], [], []
        for document in PlannedShard.from_json(row["shard"][0].as_py()).documents:
            try:
                texts.append(read_text(self.sources[document.source], document))
                documents.append(document.uri)
            except UnusableDocument as reason:
                skipped.append(asdict(Skipped(document.uri, str(reason))))
        return (
            row.append_column("documents", pyarrow.array([documents], pyarrow.list_(pyarrow.string())))
            .append_column("texts", pyarrow.array([texts], pyarrow.large_list(pyarrow.large_string())))
            .append_column("skipped", pyarrow.array([json.dumps(skipped)]))
        )

    def tokenise(self, row: pyarrow.Table) -> pyarrow.Table:
        """``texts`` → ``tokens``, a list of one int32 list a document."""
        arrays = [self.tokenizer.encode(text.as_py()) for text in row["texts"][0]]
        ends = numpy.cumsum([0, *(len(array) for array in arrays)], dtype=numpy.int64)
        flat = pyarrow.array(numpy.concatenate([numpy.empty(0, numpy.int32), *arrays]))
        lists = pyarrow.ListArray.from_arrays(pyarrow.array(ends, pyarrow.int32()), flat)
        column = pyarrow.ListArray.from_arrays(pyarrow.array([0, len(arrays)], pyarrow.int32()), lists)
        return row.drop_columns(["texts"]).append_column("tokens", column)

    def write(self, row: pyarrow.Table) -> pyarrow.Table:
        """``shard, documents, tokens, skipped`` → the shard in place, and ``finished`` or ``error``."""
        planned = PlannedShard.from_json(row["shard"][0].as_py())
        columns = [row["documents"][0].values, row["tokens"][0].values]
        table = pyarrow.table(columns, schema=pyarrow.schema(_COLUMNS))
        try:
            shard = _write_shard(self.output, planned.path, table)
            skipped = [Skipped(**value) for value in json.loads(row["skipped"][0].as_py())]
            finished = FinishedShard(planned.key(self.tokenizer.sha256), shard, skipped)
            note_shard(self.output, finished)
        except DataError as error:
            return pyarrow.table({"finished": [""], "error": [str(error)]})
        return pyarrow.table({"finished": [finished.to_json()], "error": [""]})


def _write_shard(output: Store, path: str, table: pyarrow.Table) -> Shard:
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP, use_dictionary=False)
    data = sink.getvalue().to_pybytes()
    output.write(path, data)
    tokens = len(table["tokens"].combine_chunks().flatten())
    return Shard(path, table.num_rows, tokens, len(data), hashlib.sha256(data).hexdigest())
