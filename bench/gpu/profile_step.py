"""Where a training step's time goes: its length, and the kernels in it.

    tools/run python bench/gpu/profile_step.py --data data [--params LIST] [--steps 10]

Trains as `bench/gpu/training.py` does, in this process. After `--warm-up` steps, `--steps` of them are timed as they
are, and as many more are watched by torch's profiler, which itself makes Python slower. `busy` is the time in which
at least one kernel or copy ran; `kernels` adds up them all, which is more where streams overlap. Without a GPU the
operators of the CPU take their place, without those that they call.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from deepspeed import DeepSpeedEngine
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from training import train_arguments, write_config

from zeta.train import main as train

TOP = 15
PARAMS = "use_flash_attn=true, bitlinear_precision=none, dtype=bf16"


class StepProfile:
    """Counts optimizer steps, times some of them and profiles some more."""

    def __init__(self, warm_up: int, steps: int) -> None:
        self._timed = range(warm_up, warm_up + steps)
        self._watched = range(warm_up + steps, warm_up + 2 * steps)
        self._count = 0
        self._begin = 0.0
        self.seconds: list[float] = []
        activity = ProfilerActivity.CUDA if torch.cuda.is_available() else ProfilerActivity.CPU
        self.profiler = profile(activities=[activity])

    def end_step(self) -> None:
        """To be called when a step's work has been given to the device."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._count in self._timed:
            self.seconds.append(now - self._begin)
        self._count += 1
        if self._count == self._watched.start:
            self.profiler.start()
        if self._count == self._watched.stop:
            self.profiler.stop()
        self._begin = time.perf_counter()


def kernel_times(events: Iterable[Any]) -> tuple[Counter[str], float]:
    """Seconds by name, and those in which anything ran; of the GPU's events, or of the CPU where it has none."""
    events = list(events)
    device = [e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    by_name: Counter[str] = Counter()
    for event in device or events:
        spent = event.time_range.elapsed_us() if device else event.self_cpu_time_total
        by_name[event.name] += spent / 1e6
    return by_name, union((e.time_range.start, e.time_range.end) for e in device or events) / 1e6


def union(ranges: Iterable[tuple[float, float]]) -> float:
    """The length of what the ranges cover together."""
    covered, reached = 0.0, float("-inf")
    for begin, end in sorted(ranges):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


def report(watch: StepProfile, steps: int) -> None:
    by_name, busy = kernel_times(watch.profiler.events())
    step, kernels = median(watch.seconds), by_name.total() / steps
    print(
        f"step {step * 1e3:.1f} ms, busy {busy / steps * 1e3:.1f} ms, kernels {kernels * 1e3:.1f} ms a step"
    )
    for name, seconds in by_name.most_common(TOP):
        print(f"{seconds / steps * 1e3:9.3f} ms {seconds / steps / kernels:5.1%}  {name[:100]}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="base")
    parser.add_argument("--micro-batch", type=int, default=32)
    parser.add_argument("--params", default=PARAMS, help="--zeta_params of the run (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    watch = StepProfile(arguments.warm_up, arguments.steps)
    step = DeepSpeedEngine.step

    def watched_step(engine: DeepSpeedEngine, *args: Any, **kwargs: Any) -> None:
        step(engine, *args, **kwargs)
        watch.end_step()

    DeepSpeedEngine.step = watched_step
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), arguments.micro_batch)
        limit = ("--steps", str(arguments.warm_up + 2 * arguments.steps), "--eval-tokens", "1")
        output = Path(folder, "run")
        code = train(
            train_arguments(config, output, arguments.data, arguments.model, arguments.params, *limit)
        )
    if code:
        sys.exit(code)
    report(watch, arguments.steps)


if __name__ == "__main__":
    main()
