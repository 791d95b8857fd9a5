"""Perplexity on the validation split."""

import math
from collections.abc import Callable

import deepspeed
import torch

from zeta.data import TokenShards
from zeta.data.blocks import Blocks
from zeta.train.feed import to_batch
from zeta.train.objective import next_token_loss
from zeta.train.ranks import Ranks


class Evaluator:
    """Measures the mean loss over the same validation blocks every time.

    Reads the whole split, or about `max_tokens` of it (0: no bound), spread evenly over the ranks.

    Raises:
        DataError: the split has no block for each rank, or a shard cannot be read.
    """

    def __init__(
        self, shards: TokenShards, seq_len: int, batch_size: int, max_tokens: int, ranks: Ranks
    ) -> None:
        self._shards, self._seq_len, self._batch_size, self._ranks = shards, seq_len, batch_size, ranks
        self._num_blocks = len(self._open())
        if max_tokens:
            self._num_blocks = min(self._num_blocks, max(1, max_tokens // (seq_len * ranks.world_size)))

    @torch.no_grad()
    def loss(self, engine: deepspeed.DeepSpeedEngine, should_stop: Callable[[], bool]) -> float | None:
        """The mean negative log-likelihood of a token in nats; None if any rank's `should_stop` is true.

        Raises:
            TrainError: on every rank, if any could not read a shard.
        """
        with self._ranks.together():
            blocks = self._open()
        total = 0.0
        engine.eval()
        try:
            for begin in range(0, self._num_blocks, self._batch_size):
                batch = [next(blocks) for _ in range(min(self._batch_size, self._num_blocks - begin))]
                total += next_token_loss(engine, to_batch(batch, self._ranks)).item() * len(batch)
                if self._ranks.sum([float(should_stop())])[0]:
                    return None
        finally:
            engine.train()
        return self._ranks.sum([total])[0] / (self._num_blocks * self._ranks.world_size)

    def _open(self) -> Blocks:
        return self._shards.blocks("validation", self._seq_len, self._ranks.rank, self._ranks.world_size)


def perplexity(loss: float) -> float:
    """exp(loss), infinite where that overflows."""
    return math.exp(loss) if loss < 700 else math.inf
