"""The tokenizer of a run: one that was given, or one to be trained on the documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from zeta.data import journal
from zeta.data.byte_level_bpe import SMALLEST_VOCABULARY, train_byte_level_bpe
from zeta.data.documents import Document, UnusableDocument, read_text
from zeta.data.errors import DataError
from zeta.data.plan import digest
from zeta.data.progress import Progress, Stage
from zeta.data.store import Store
from zeta.data.tokenizer_folder import TokenizerFolder

_FOLDER = "tokenizer"
# More text hardly changes the merges, and counting words in it takes minutes a gigabyte.
_TRAINING_BYTES = 2**30


@dataclass(frozen=True)
class TokenizerChoice:
    """``given``, or byte-level BPE of at most ``vocab_size`` tokens."""

    given: TokenizerFolder | None
    vocab_size: int

    @classmethod
    def parse(cls, tokenizer: str, vocab_size: int) -> TokenizerChoice:
        """``train``, or the place of an existing tokenizer, which is read.

        Raises:
            DataError: there is no usable tokenizer, or ``vocab_size`` has no room for the bytes.
        """
        if tokenizer != "train":
            return cls(TokenizerFolder.load(tokenizer), 0)
        if vocab_size < SMALLEST_VOCABULARY:
            raise DataError(
                f"expected a vocabulary ≥ {SMALLEST_VOCABULARY} (the bytes and one more), got {vocab_size}"
            )
        return cls(None, vocab_size)

    def describe(self) -> str:
        """Differs where the tokenizer may differ, for the same documents."""
        return f"given {self.given.sha256}" if self.given else f"byte-level BPE {self.vocab_size}"

    def place(
        self, output: Store, sources: Sequence[Store], documents: Sequence[Document], progress: Progress
    ) -> TokenizerFolder:
        """Write ``tokenizer/`` into ``output``, unless an earlier run did.

        Args:
            documents: of the train split; the first GiB of them in the order of their hashes is learnt from.

        Raises:
            DataError: the folder cannot be written.
        """
        sample = _sample(documents)
        key = digest([self.describe(), [document.sha256 for document in sample]])
        tokenizer = journal.find_tokenizer(output, key)
        if tokenizer is None:
            tokenizer = self.given or self._train(sources, sample, progress)
            output.delete_folder(_FOLDER)
            tokenizer.write(output, _FOLDER)
            journal.note_tokenizer(output, key, tokenizer)
        return tokenizer

    def _train(
        self, sources: Sequence[Store], sample: Sequence[Document], progress: Progress
    ) -> TokenizerFolder:
        with progress.stage("training the tokenizer", sum(document.size for document in sample)) as stage:
            return train_byte_level_bpe(_texts(sources, sample, stage), self.vocab_size)


def _sample(documents: Sequence[Document]) -> list[Document]:
    chosen, size = [], 0
    for document in sorted(documents, key=lambda document: (document.sha256, document.uri)):
        if chosen and size + document.size > _TRAINING_BYTES:
            break
        chosen.append(document)
        size += document.size
    return chosen


def _texts(sources: Sequence[Store], documents: Sequence[Document], stage: Stage) -> Iterator[str]:
    for document in documents:
        # One that vanished meanwhile is named when its shard is made.
        with suppress(UnusableDocument):
            yield read_text(sources[document.source], document)
        stage.advance(document.size)
