"""Where a run writes, and that no other writes there at the same time."""

import contextlib
import fcntl
import itertools
import time
from pathlib import Path

from zeta.train.errors import TrainError

_RUNS = Path("runs")


class RunFolder:
    """A run's folder, held until the process ends: also a run that is killed leaves no lock behind."""

    def __init__(self, path: Path) -> None:
        """Makes the folder if it does not exist.

        Raises:
            TrainError: another run writes to it, or it cannot be made.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / "lock").open("w")  # A file: NFS locks no folders.
        except OSError as error:
            raise TrainError(f"--output {path}: {error.strerror}: name a folder to write to") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainError(
                f"another run writes to {path}: wait for its end, or name another --output"
            ) from error


def open_run_folder(output: Path | None, resume: bool) -> RunFolder:
    """Takes `output`, or a new `runs/DATE-TIME`, or, to resume without one, the newest of `runs`.

    Raises:
        TrainError: nothing to resume, a folder that another run writes to, or one that already holds another
            run's checkpoints.
    """
    if output is None:
        return RunFolder(_newest_run() if resume else _new_run())
    folder = RunFolder(output)
    saved = sorted(path.name for path in output.glob("checkpoints/step-*") if path.suffix != ".tmp")
    if saved and not resume:
        raise TrainError(
            f"--output {output}: has a run's checkpoints ({saved[-1]}): add --resume to go on with it, or "
            "name another folder"
        )
    return folder


def _new_run() -> Path:
    """Makes `runs/DATE-TIME`; what starts in the same second gets a number behind it."""
    name = time.strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        folder = _RUNS / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def _newest_run() -> Path:
    runs = sorted(path.parent for path in _RUNS.glob("*/checkpoints"))
    if not runs:
        raise TrainError(f"--resume: no run in {_RUNS}: name one with --output")
    return runs[-1]
