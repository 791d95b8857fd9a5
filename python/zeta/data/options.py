"""What a caller of ``prepare`` may choose."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from zeta.data.errors import DataError
from zeta.data.selection import Selection

TRAIN = "train"


def available_cpus() -> int:
    """The CPUs this process may run on."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class PrepareOptions:
    """The options of ``python -m zeta.data prepare``, whose ``--help`` explains each.

    Args:
        tokenizer: ``"train"``, or where an existing one is.
        validation_fraction: in [0, 1), of the documents; not together with ``validation_inputs``.
        max_file_size: bytes.

    Raises:
        DataError: a value is out of range, or two contradict each other.
    """

    inputs: Sequence[str]
    output: str
    tokenizer: str = TRAIN
    vocab_size: int = 16384
    validation_fraction: float = 0.01
    validation_inputs: Sequence[str] = ()
    selection: Selection = field(default_factory=Selection)
    max_file_size: int = 64 * 2**20
    num_cpus: int = field(default_factory=available_cpus)
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.validation_fraction < 1:
            raise DataError(f"expected 0 ≤ validation fraction < 1, got {self.validation_fraction}")
        if self.num_cpus < 1:
            raise DataError(f"expected at least 1 CPU, got {self.num_cpus}")
        if not self.inputs:
            raise DataError("expected at least one input")
