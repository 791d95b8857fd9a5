"""A run that takes a second, for tests."""

import json
import time
from pathlib import Path

from rank_processes import Job

_PARAMS = {
    "use_flash_attn": "false",
    "dtype": "fp32",
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "num_kv_heads": 1,
    "intermediate_size": 64,
    "seq_len": 32,
}


def arguments(config: Path, shards: Path, output: Path, *more: str, **params: object) -> list[str]:
    """The command line of a tiny fp32 run that logs every step and saves every fifth.

    `params` go into --zeta_params and `more` to the end; both override what the tiny run has.
    """
    zeta_params = ", ".join(f"{key}={value}" for key, value in (_PARAMS | params).items())
    return [
        *("--config", str(config), "--zeta_params", zeta_params, "--model", "tiny", "--data", str(shards)),
        *("--output", str(output), "--log-every", "1", "--save-every", "5", "--eval-every", "0"),
        *("--warmup-steps", "2"),
        *more,
    ]


def records(output: Path) -> list[dict[str, float]]:
    """The complete lines of the run's metrics."""
    lines = (output / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def wait_for_step(job: Job, output: Path, step: int) -> None:
    """Returns when the run has logged `step` steps."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (output / "metrics.jsonl").exists() and len(records(output)) >= step:
            return
        time.sleep(0.01)
    raise AssertionError(job.output())
