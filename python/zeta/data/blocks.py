"""Fixed-length training blocks cut from a flat run of tokens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy

from zeta.data.block_order import shuffled
from zeta.data.errors import DataError


class Blocks(Iterator[numpy.ndarray]):
    """An iterator over one rank's blocks; ``len()`` is how many it has yet to give.

    Block ``i`` is ``tokens[i·seq_len : (i+1)·seq_len + 1]``: inputs are its first ``seq_len`` tokens,
    targets its last, so every token but the very first is predicted once an epoch. Blocks run across
    documents, which end in the end-of-text token.
    """

    def __init__(self, tokens: numpy.ndarray, seq_len: int, order: numpy.ndarray) -> None:
        self._tokens = tokens
        self._seq_len = seq_len
        self._order = order
        self._next = 0

    def __len__(self) -> int:
        return len(self._order) - self._next

    def __next__(self) -> numpy.ndarray:
        if self._next == len(self._order):
            raise StopIteration
        begin = int(self._order[self._next]) * self._seq_len
        self._next += 1
        return numpy.array(self._tokens[begin : begin + self._seq_len + 1], dtype=numpy.int32)


def count_blocks(num_tokens: int, seq_len: int) -> int:
    """How many blocks ``num_tokens`` tokens give; the rest at the end is not used.

    Raises:
        DataError: ``seq_len`` is not positive.
    """
    if seq_len < 1:
        raise DataError(f"expected seq_len ≥ 1, got {seq_len}")
    return max(num_tokens - 1, 0) // seq_len


def cut_blocks(
    tokens: numpy.ndarray, seq_len: int, rank: int, world_size: int, seed: int, epoch: int, start: int
) -> Blocks:
    """See :meth:`zeta.data.TokenShards.blocks`."""
    if not 0 <= rank < world_size:
        raise DataError(f"expected 0 ≤ rank < world_size = {world_size}, got {rank}")
    count = count_blocks(len(tokens), seq_len)
    if count < world_size:
        raise DataError(
            f"{len(tokens)} tokens give {count} blocks of seq_len {seq_len}, fewer than {world_size} ranks: "
            "give it more text, or a smaller seq_len"
        )
    if not 0 <= start <= count:
        raise DataError(f"expected 0 ≤ start ≤ {count} blocks, got {start}")
    rounds = (count - start) // world_size
    return Blocks(tokens, seq_len, shuffled(count, seed, epoch)[start + rank :: world_size][:rounds])
