"""Batches of token blocks for one rank, from a position that can be saved and returned to."""

from dataclasses import dataclass

import numpy as np
import torch

from zeta.data import TokenShards
from zeta.train.ranks import Ranks


@dataclass(frozen=True)
class Position:
    """How far a run has read: whole passes, and blocks of the current pass over all ranks together."""

    epoch: int = 0
    blocks: int = 0


class Feed:
    """Endless batches of one split's blocks, in an order drawn anew from `seed` for every epoch.

    All ranks read equally many blocks of an epoch; the few left over are dropped. Not thread-safe.

    Raises:
        DataError: the split has no block for each rank, or a shard cannot be read.
    """

    def __init__(
        self, shards: TokenShards, split: str, seq_len: int, batch_size: int, ranks: Ranks, seed: int
    ) -> None:
        self._shards, self._split, self.seq_len = shards, split, seq_len
        self._batch_size, self._ranks, self._seed = batch_size, ranks, seed
        self.seek(Position())
        self.blocks_per_epoch = len(self._blocks) * ranks.world_size

    @property
    def position(self) -> Position:
        return Position(self._epoch, self._read)

    def seek(self, position: Position) -> None:
        """Goes to a position, also one that another number of ranks left.

        Raises:
            DataError: a shard cannot be read.
        """
        self._epoch, self._read = position.epoch, position.blocks
        self._blocks = self._shards.blocks(
            self._split,
            self.seq_len,
            self._ranks.rank,
            self._ranks.world_size,
            self._seed,
            self._epoch,
            self._read,
        )

    def next_batch(self) -> torch.Tensor:
        """Returns the next `(batch_size, seq_len + 1)` token ids, int64, on the rank's device. Collective.

        Raises:
            TrainError: on every rank, if a new epoch began and any could not read a shard.
        """
        return to_batch([self._next_block() for _ in range(self._batch_size)], self._ranks)

    def _next_block(self) -> np.ndarray:
        block = next(self._blocks, None)
        while block is None:  # At once on all ranks, which read equally many.
            with self._ranks.together():
                self.seek(Position(self._epoch + 1, 0))
            block = next(self._blocks, None)
        self._read += self._ranks.world_size
        return block


def to_batch(blocks: list[np.ndarray], ranks: Ranks) -> torch.Tensor:
    """Stacks blocks of equal length into an int64 tensor on the rank's device."""
    return torch.from_numpy(np.stack(blocks)).to(ranks.device, torch.int64)
