"""Two ranks: a run that was killed and resumed is the run that was not."""

import signal
from pathlib import Path

from rank_processes import start
from tiny_run import arguments, records, wait_for_step


def test_killed_and_resumed_run_has_the_same_losses(tmp_path: Path, config: Path, shards: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(arguments(config, shards, whole, "--steps", "20"), tmp_path).wait() == [0, 0]

    job = start(arguments(config, shards, killed, "--steps", "20"), tmp_path)
    wait_for_step(job, killed, 12)
    job.send(signal.SIGKILL)
    job.wait()
    assert not (killed / "checkpoints" / "step-000020").exists()
    resumed = start(arguments(config, shards, killed, "--steps", "20", "--resume"), tmp_path)
    assert resumed.wait() == [0, 0], resumed.output()

    compared = ("step", "tokens", "epoch", "loss", "lr", "grad_norm")
    left, right = ([[r[key] for key in compared] for r in records(run)] for run in (whole, killed))
    assert [row[0] for row in right] == list(range(1, 21))
    # The same operations on the same numbers in the same order: equal to the last bit.
    assert left == right
    assert records(whole)[-1]["perplexity"] == records(killed)[-1]["perplexity"]
    assert records(whole)[-1]["loss"] < records(whole)[0]["loss"] - 0.1
