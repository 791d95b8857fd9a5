"""What a checkpoint brings back beside weights and optimizer: counters, place in the data, random numbers."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from zeta.train.feed import Position


@dataclass
class Counters:
    """What a run has done so far, over all ranks; `seconds` of wall time, resumed runs included.

    `unlogged` is the record of the last step if a stop came before it was evaluated and logged.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    unlogged: dict[str, float] | None = None

    @property
    def logged(self) -> int:
        """The last step whose record may be in the metrics."""
        return self.step if self.unlogged is None else self.step - 1


def pack_state(counters: Counters, position: Position) -> dict[str, Any]:
    """This rank's state in plain types, with the state of its random number generators."""
    state = {
        "counters": dataclasses.asdict(counters),
        "position": dataclasses.asdict(position),
        "rng": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda_rng"] = torch.cuda.get_rng_state()
    return state


def unpack_state(state: dict[str, Any]) -> tuple[Counters, Position]:
    """Undoes `pack_state`, and sets the random number generators."""
    torch.set_rng_state(state["rng"])
    if torch.cuda.is_available() and "cuda_rng" in state:
        torch.cuda.set_rng_state(state["cuda_rng"])
    return Counters(**state["counters"]), Position(**state["position"])
