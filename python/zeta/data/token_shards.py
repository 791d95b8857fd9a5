"""Read what ``zeta.data prepare`` wrote."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import numpy

from zeta.data.blocks import Blocks, cut_blocks
from zeta.data.cache_folder import default_cache_folder, exclusive
from zeta.data.errors import DataError
from zeta.data.local_store import LocalStore
from zeta.data.manifest import NAME, Manifest
from zeta.data.store import open_store
from zeta.data.token_cache import map_tokens
from zeta.data.tokenizer_folder import TokenizerFolder


class TokenShards:
    """A folder of token shards, local or on S3.

    A split is fetched and checked when first used, into a flat file in the cache folder that all processes
    of a machine share and map. Safe to use from several threads and processes.

    Args:
        uri: the ``--output`` of ``prepare``.
        cache_folder: where flat files go; default ``$ZETA_CACHE_DIR``, else ``~/.cache/zeta``. When they
            would exceed ``$ZETA_CACHE_SIZE``, such as ``500GB`` (default 32 GiB), those of the sets that were
            not used for the longest time are removed, but none that a process has mapped.

    Raises:
        DataError: there is no complete set of token shards at ``uri``.
    """

    def __init__(self, uri: str | Path, cache_folder: Path | None = None) -> None:
        self._store = open_store(str(uri))
        manifest = Manifest.read(self._store)
        if manifest is None:
            raise DataError(
                f"{self._store.uri} holds no {NAME}: it is not an output of `python -m zeta.data prepare`, "
                "or that run did not finish (run it again)"
            )
        self.manifest: Manifest = manifest
        content = "".join(shard.sha256 for shard in manifest.shards) + manifest.tokenizer.sha256
        key = hashlib.sha256(content.encode()).hexdigest()[:16]
        self._cache = (cache_folder or default_cache_folder()) / "tokens" / key

    @property
    def vocab_size(self) -> int:
        """Tokens are in ``[0, vocab_size)``."""
        return self.manifest.vocab_size

    @cached_property
    def tokenizer_path(self) -> Path:
        """The tokenizer folder on this machine, for ``AutoTokenizer.from_pretrained``; from S3 it is fetched.

        Raises:
            DataError: it is not the tokenizer the shards were made with.
        """
        folder = TokenizerFolder.read(self._store, "tokenizer")
        if folder.sha256 != self.manifest.tokenizer.sha256:
            where = self._store.uri_of("tokenizer")
            raise DataError(
                f"{where} is not the tokenizer of these shards (its sha256 differs): prepare the data again"
            )
        if isinstance(self._store, LocalStore):
            return Path(self._store.root) / "tokenizer"
        with exclusive(self._cache):
            folder.write(LocalStore(str(self._cache)), "tokenizer")
        return self._cache / "tokenizer"

    def tokens(self, split: str) -> numpy.ndarray:
        """All tokens of ``train`` or ``validation`` in stored order.

        Returns:
            int32 ``(manifest.tokens[split])``, read-only, mapped from the cache: slice or iterate it.

        Raises:
            DataError: there is no such split, or a shard is missing, truncated or foreign.
        """
        return map_tokens(self._store, self.manifest.of_split(split), self._cache / f"{split}.int32")

    def blocks(
        self,
        split: str,
        seq_len: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
    ) -> Blocks:
        """One epoch of shuffled blocks, packed across documents.

        The order over all ranks depends on ``seed`` and ``epoch`` only; of it, rank ``r`` of ``w`` takes
        blocks ``start + r, start + r + w, …``. All ranks get the same number: up to ``w - 1`` blocks at the
        end of the epoch are dropped.

        Args:
            seq_len: tokens a step sees; a block has one more.
            start: blocks that all ranks together have consumed of this epoch, to go on after them, possibly
                with another ``world_size``.

        Returns:
            An iterator, with a length, of int32 arrays ``(seq_len + 1)``.

        Raises:
            DataError: the split has fewer blocks than ranks, or an argument is out of range.
        """
        tokens = self.tokens(split)
        try:
            return cut_blocks(tokens, seq_len, rank, world_size, seed, epoch, start)
        except DataError as error:
            raise DataError(f"{split} of {self._store.uri}: {error}") from error
