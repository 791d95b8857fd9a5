"""Where a run writes."""

import time
from pathlib import Path

from zeta.train.errors import TrainError

_RUNS = Path("runs")


def choose_output(output: Path | None, resume: bool) -> Path:
    """The run's folder: `output`, or a new `runs/DATE-TIME`, or, to resume without one, the newest of `runs`.

    Raises:
        TrainError: nothing to resume, or a folder that already holds another run's checkpoints.
    """
    if output is None:
        if not resume:
            return _RUNS / time.strftime("%Y%m%d-%H%M%S")
        runs = sorted(path.parent for path in _RUNS.glob("*/checkpoints"))
        if not runs:
            raise TrainError(f"--resume: no run in {_RUNS}: name one with --output")
        return runs[-1]
    saved = sorted(path.name for path in output.glob("checkpoints/step-*") if path.suffix != ".tmp")
    if saved and not resume:
        raise TrainError(
            f"--output {output}: has a run's checkpoints ({saved[-1]}): add --resume to go on with it, or "
            "name another folder"
        )
    return output
