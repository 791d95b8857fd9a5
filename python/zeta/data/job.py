"""One run, once it is known what goes in and that the output is ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

from zeta.data import journal, output
from zeta.data.documents import Document
from zeta.data.errors import DataError
from zeta.data.journal import FinishedShard
from zeta.data.local_ray import local_ray
from zeta.data.manifest import VERSION, Input, Manifest, TokenizerInfo
from zeta.data.plan import PlannedShard, digest, plan_shards
from zeta.data.progress import Progress
from zeta.data.split import SPLITS
from zeta.data.store import Store
from zeta.data.summary import Summary
from zeta.data.survey import Survey
from zeta.data.tokenizer_choice import TokenizerChoice
from zeta.data.tokenizer_folder import TokenizerFolder


@dataclass(frozen=True)
class Job:
    """Which documents go where, with which tokenizer."""

    store: Store
    found: Survey
    splits: Mapping[str, Sequence[Document]]
    tokenizer: TokenizerChoice
    num_cpus: int

    @cached_property
    def fingerprint(self) -> str:
        """Differs where the output may differ."""
        documents = {
            split: [[document.uri, document.size, document.sha256] for document in self.splits[split]]
            for split in SPLITS
        }
        skipped = [[item.uri, item.reason] for item in self.found.skipped]
        return digest([VERSION, documents, skipped, self.tokenizer.describe()])

    def run(self, progress: Progress) -> Summary:
        """Make what an earlier run did not finish, and write the manifest.

        Raises:
            DataError: the output cannot be written, or every document vanished.
        """
        tokenizer = self.tokenizer.place(self.store, self.found.stores, self.splits["train"], progress)
        planned = plan_shards(self.splits)
        paths = {shard.path for shard in planned}
        output.remove_strays(self.store, paths)
        finished = self._finished_earlier(planned, tokenizer)
        if finished:
            progress.note(f"going on: {len(finished)} of {len(planned)} shards are there from an earlier run")
        missing = [shard for shard in planned if shard.path not in finished]
        try:
            made, seconds = self._make(missing, tokenizer, progress)
        finally:
            # A worker stopped in the middle of a write, in this run or a killed one, leaves a temporary file.
            output.remove_strays(self.store, paths)
        finished.update(made)
        manifest = self._manifest([finished[shard.path] for shard in planned], tokenizer)
        manifest.write(self.store)
        journal.close_journal(self.store)
        return Summary(self.store.uri, manifest, sum(item.shard.tokens for item in made.values()), seconds)

    def _finished_earlier(
        self, planned: Sequence[PlannedShard], tokenizer: TokenizerFolder
    ) -> dict[str, FinishedShard]:
        with ThreadPoolExecutor(self.num_cpus) as pool:
            earlier = pool.map(lambda shard: journal.find_shard(self.store, shard, tokenizer.sha256), planned)
            return {shard.path: left for shard, left in zip(planned, earlier, strict=True) if left}

    def _make(
        self, shards: Sequence[PlannedShard], tokenizer: TokenizerFolder, progress: Progress
    ) -> tuple[dict[str, FinishedShard], float]:
        if not shards:
            return {}, 0.0
        # Imported here, as it brings in Arrow and Ray, which a run with nothing to do can spare.
        from zeta.data.tokenise import Pipeline

        sizes = {shard.path: shard.size for shard in shards}
        made = {}
        pipeline = Pipeline(self.found.stores, tokenizer, self.store)
        with (
            local_ray(self.num_cpus),
            progress.stage("tokenising", sum(sizes.values())) as stage,
            closing(pipeline.run(shards)) as results,
        ):
            for finished in results:
                made[finished.shard.path] = finished
                for item in finished.skipped:
                    progress.note(f"skipped {item.uri}: {item.reason}")
                stage.advance(sizes[finished.shard.path])
            return made, stage.seconds

    def _manifest(self, finished: Sequence[FinishedShard], tokenizer: TokenizerFolder) -> Manifest:
        lost = [item for part in finished for item in part.skipped]
        lost_uris = {item.uri for item in lost}
        used = [
            document for split in SPLITS for document in self.splits[split] if document.uri not in lost_uris
        ]
        if not used:
            raise DataError("every input file vanished or changed during the run")
        shards = [part.shard for part in finished]
        return Manifest(
            fingerprint=self.fingerprint,
            inputs={document.uri: Input(document.size, document.sha256) for document in used},
            skipped=sorted([*self.found.skipped, *lost], key=lambda item: item.uri),
            tokenizer=TokenizerInfo(tokenizer.sha256, tokenizer.eos_token_id),
            vocab_size=tokenizer.vocab_size,
            shards=shards,
            tokens={
                split: sum(shard.tokens for shard in shards if shard.path.startswith(f"{split}/"))
                for split in SPLITS
            },
        )
