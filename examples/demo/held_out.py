"""The held-out tokens, as training scores them."""

import json
from pathlib import Path

import numpy as np

from zeta.data import TokenShards


def scored_blocks(shards: TokenShards, run: Path) -> np.ndarray:
    """The validation blocks that a run with `--eval-tokens 0` scores, on all its ranks.

    Returns:
        int32 (number of blocks, seq_len + 1): the first token of a block is given, the others are predicted.
    """
    checkpoints = run / "checkpoints"
    checkpoint = checkpoints / (checkpoints / "latest").read_text().strip()
    ranks = json.loads((checkpoint / "zeta.json").read_text())["world_size"]
    seq_len = json.loads((checkpoint / "config.json").read_text())["max_position_embeddings"]
    return np.stack(
        [block for rank in range(ranks) for block in shards.blocks("validation", seq_len, rank, ranks)]
    )
