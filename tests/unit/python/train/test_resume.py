"""Two ranks: a run that was killed and resumed is the run that was not."""

import json
import signal
import time
from pathlib import Path

import pytest
from rank_processes import Job, start

SHAPE = "hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1, intermediate_size=64, seq_len=32"


def arguments(config: Path, shards: Path, output: Path, *more: str) -> list[str]:
    params = f"use_flash_attn=false, dtype=fp32, {SHAPE}"
    return [
        *("--config", str(config), "--zeta_params", params, "--model", "tiny", "--data", str(shards)),
        *("--output", str(output), "--log-every", "1", "--save-every", "5", "--eval-every", "0", "--warmup-steps", "2"),
        *more,
    ]


def records(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def kill_after(job: Job, output: Path, step: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (output / "metrics.jsonl").exists() and len((output / "metrics.jsonl").read_text().splitlines()) >= step:
            break
        time.sleep(0.005)
    job.send(signal.SIGKILL)
    job.wait()


def test_killed_and_resumed_run_has_the_same_losses(tmp_path: Path, config: Path, shards: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(arguments(config, shards, whole, "--steps", "20"), tmp_path).wait() == [0, 0]

    job = start(arguments(config, shards, killed, "--steps", "20"), tmp_path)
    kill_after(job, killed, 12)
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
