"""A text so short that a hundred steps learn it: greedy answers are sure of themselves."""

import torch
from torch import Tensor

TEXT = (
    "def harbour(ships, tide):\n"
    "    for ship in sorted(ships, key=lambda s: s.draught):\n"
    "        if ship.draught < tide.depth:\n"
    "            yield ship.enter()\n"
    "        else:\n"
    "            ship.anchor(wait=tide.next_high())\n"
    "\n"
    "class Lighthouse:\n"
    "    def __init__(self, height, period):\n"
    "        self.height = height\n"
    "        self.period = period\n"
)

TOKENS = torch.tensor(list(TEXT.encode()))
PROBE = TOKENS[:96].unsqueeze(0)
PROMPT = TOKENS[:24].unsqueeze(0)


def batch(generator: torch.Generator, rows: int, length: int) -> Tensor:
    starts = torch.randint(0, len(TOKENS) - length, (rows,), generator=generator)
    return torch.stack([TOKENS[start : start + length] for start in starts.tolist()])
