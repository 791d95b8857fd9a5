"""The demo's two perplexities are over the same tokens: those that the trainer's Evaluator scores."""

import json
from pathlib import Path

import numpy as np
import pytest

from held_out import scored_blocks


class Shards:
    """Validation blocks as `zeta.data.TokenShards` cuts them, of given tokens."""

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens

    def blocks(self, split: str, seq_len: int, rank: int, world_size: int):
        from zeta.data.blocks import cut_blocks

        assert split == "validation"
        return cut_blocks(self.tokens, seq_len, rank, world_size, seed=0, epoch=0, start=0)


@pytest.mark.parametrize("ranks", [1, 2])
def test_blocks_are_those_of_all_ranks(ranks: int, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoints" / "step-000007"
    checkpoint.mkdir(parents=True)
    (tmp_path / "checkpoints" / "latest").write_text("step-000007\n")
    (checkpoint / "zeta.json").write_text(json.dumps({"world_size": ranks}))
    (checkpoint / "config.json").write_text(json.dumps({"max_position_embeddings": 10}))
    found = scored_blocks(Shards(np.arange(55, dtype=np.int32)), tmp_path)
    assert found.dtype == np.int32 and found.shape == (5 // ranks * ranks, 11)
    assert len(set(found[:, 0].tolist())) == len(found) and (np.diff(found) == 1).all()
