"""A run has its folder for itself."""

import signal
import time
from pathlib import Path

import pytest
from rank_processes import start
from tiny_run import arguments, wait_for_step

from zeta.train import TrainError
from zeta.train.output import RunFolder, open_run_folder


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_goes_on(
    tmp_path: Path, config: Path, shards: Path
) -> None:
    output, second = tmp_path / "run", tmp_path / "second"
    second.mkdir()
    first = start(arguments(config, shards, output, "--steps", "100000"), tmp_path, world_size=1)
    wait_for_step(first, output, 3)
    intruder = start(arguments(config, shards, output, "--steps", "5", "--resume"), second)
    assert intruder.wait() == [1, 1], intruder.output()
    errors = [line for line in intruder.output().splitlines() if line.startswith("train: error:")]
    assert errors == [
        f"train: error: another run writes to {output}: wait for its end, or name another --output"
    ]
    assert "Traceback" not in intruder.output()
    assert first.processes[0].is_alive()

    first.send(signal.SIGKILL)
    first.wait()
    RunFolder(output)  # A kill leaves no lock behind.


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda pattern: "20300101-000000")
    folders = [open_run_folder(None, resume=False) for _ in range(3)]
    assert [folder.path.name for folder in folders] == [
        "20300101-000000",
        "20300101-000000-2",
        "20300101-000000-3",
    ]


def test_a_folder_is_taken_before_it_is_looked_at(tmp_path: Path) -> None:
    """Else a run that waited for another to end would not see what that one saved."""
    first = RunFolder(tmp_path)
    (first.path / "checkpoints" / "step-000001").mkdir(parents=True)
    with pytest.raises(TrainError, match="another run writes to"):
        open_run_folder(tmp_path, resume=False)
