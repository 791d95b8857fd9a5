"""What is left of a run that is killed, stopped, out of space, or diverging. One or two ranks, tiny model."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from rank_processes import start
from tiny_run import arguments, records, wait_for_step


def checkpoints(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "checkpoints").glob("step-*"))


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.04])
def test_kill_while_saving_leaves_a_whole_checkpoint(
    tmp_path: Path, config: Path, shards: Path, delay: float
) -> None:
    output = tmp_path / "run"
    many = arguments(config, shards, output, "--save-every", "1", "--steps", "500")
    job = start(many, tmp_path, world_size=1)
    wait_for_step(job, output, 4)
    time.sleep(delay)
    job.send(signal.SIGKILL)
    job.wait()

    latest = (output / "checkpoints" / "latest").read_text().strip()
    step = int(latest.removeprefix("step-"))
    facts = json.loads((output / "checkpoints" / latest / "zeta.json").read_text())
    assert facts["step"] == step

    again = arguments(config, shards, output, "--save-every", "0", "--steps", str(step + 2), "--resume")
    job = start(again, tmp_path, world_size=1)
    assert job.wait() == [0], job.output()
    assert [record["step"] for record in records(output)] == list(range(1, step + 3))
    assert checkpoints(output)[-1] == f"step-{step + 2:06}"
    assert not list((output / "checkpoints").glob("*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_rank_saves_and_ends_all_with_its_code(
    tmp_path: Path, config: Path, shards: Path, number: signal.Signals
) -> None:
    output = tmp_path / "run"
    job = start(arguments(config, shards, output, "--steps", "100000"), tmp_path)
    wait_for_step(job, output, 3)
    begin = time.monotonic()
    os.kill(job.processes[1].pid, number)
    assert job.wait() == [128 + number] * 2, job.output()
    assert time.monotonic() - begin < 30
    assert number.name in job.output() and "--resume" in job.output()
    # The step that noticed the request is saved, though not logged.
    logged = len(records(output))
    assert checkpoints(output)[-1] == f"step-{logged + 1:06}"

    more = arguments(config, shards, output, "--steps", str(logged + 2), "--resume")
    job = start(more, tmp_path)
    assert job.wait() == [0, 0], job.output()
    assert [record["step"] for record in records(output)] == list(range(1, logged + 3))


def stop_in_evaluation() -> None:
    """From now on this process sends itself SIGTERM when it begins to evaluate."""
    from zeta.train.evaluate import Evaluator

    evaluate = Evaluator.loss

    def stopped(*arguments: Any) -> float | None:
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments)

    Evaluator.loss = stopped


def test_a_last_evaluation_that_was_cut_short_is_made_up_for(
    tmp_path: Path, config: Path, shards: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    flags = ("--steps", "4", "--eval-tokens", "0")
    assert start(arguments(config, shards, whole, *flags), tmp_path, world_size=1).wait() == [0]

    stopped = start(
        arguments(config, shards, cut, *flags), tmp_path, world_size=1, prepare=stop_in_evaluation
    )
    assert stopped.wait() == [128 + signal.SIGTERM], stopped.output()
    assert checkpoints(cut) == ["step-000004"]
    assert [record["step"] for record in records(cut)] == [1, 2, 3]

    again = arguments(config, shards, cut, *flags, "--resume")
    for _ in range(2):  # Once more changes nothing.
        resumed = start(again, tmp_path, world_size=1)
        assert resumed.wait() == [0], resumed.output()
        compared = ("step", "tokens", "loss", "lr", "grad_norm")
        left, right = ([[r[key] for key in compared] for r in records(run)] for run in (whole, cut))
        assert left == right
        assert records(cut)[-1]["perplexity"] == records(whole)[-1]["perplexity"]


def test_no_space_for_a_checkpoint_names_the_last_good_one(
    tmp_path: Path, config: Path, shards: Path
) -> None:
    output = tmp_path / "run"
    assert start(arguments(config, shards, output, "--steps", "5"), tmp_path).wait() == [0, 0]
    more = arguments(config, shards, output, "--steps", "20", "--resume")
    # A limit on the size of a file stands for a full disk: the optimizer's states do not fit.
    job = start(more, tmp_path, largest_file=20_000)
    assert job.wait() == [1, 1], job.output()
    errors = [line for line in job.output().splitlines() if "error" in line]
    assert len(errors) == 1
    assert "step-000010" in errors[0] and "File too large" in errors[0] and "step-000005" in errors[0]
    assert checkpoints(output) == ["step-000005"]
    assert "Traceback" not in job.output()


def test_no_space_for_metrics_ends_all_ranks_and_names_the_last_good_checkpoint(
    tmp_path: Path, config: Path, shards: Path
) -> None:
    output = tmp_path / "run"
    assert start(arguments(config, shards, output, "--steps", "5"), tmp_path).wait() == [0, 0]
    more = arguments(config, shards, output, "--steps", "20", "--save-every", "0", "--resume")
    # Room for what the file has and one record and a half: the second of them is cut short.
    size = (output / "metrics.jsonl").stat().st_size
    job = start(more, tmp_path, largest_file=size + int(1.5 * size / 5))
    assert job.wait() == [1, 1], job.output()
    errors = [line for line in job.output().splitlines() if "error" in line]
    assert errors == [
        f"train: error: {output / 'metrics.jsonl'}: File too large; the last good checkpoint is "
        f"{output / 'checkpoints' / 'step-000005'}"
    ], job.output()
    assert "Traceback" not in job.output()

    again = start(arguments(config, shards, output, "--steps", "8", "--resume"), tmp_path)
    assert again.wait() == [0, 0], again.output()
    assert [record["step"] for record in records(output)] == list(range(1, 9))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, config: Path, shards: Path) -> None:
    output = tmp_path / "run"
    settings = json.loads(config.read_text()) | {"gradient_clipping": 0.0}
    config.write_text(json.dumps(settings))
    job = start(
        arguments(config, shards, output, "--steps", "50", "--lr", "1e30", "--save-every", "1"), tmp_path
    )
    assert job.wait() == [1, 1], job.output()
    errors = [line for line in job.output().splitlines() if "error" in line]
    assert len(errors) == 1
    step = len(records(output)) + 1
    assert f"at step {step}" in errors[0] and "--lr" in errors[0] and f"step-{step - 1:06}" in errors[0]
    assert checkpoints(output)[-1] == f"step-{step - 1:06}"
