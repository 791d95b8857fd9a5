"""How long a run lasts and at which steps it does more than train."""

import math
from dataclasses import dataclass
from typing import Any

from zeta.train.arguments import Options
from zeta.train.schedule import CosineSchedule, Limits


@dataclass(frozen=True)
class Plan:
    """`*_every` counts steps, 0 means only at the end.

    `schedule` is None where DeepSpeed's configuration file has a scheduler of its own.
    """

    limits: Limits
    schedule: CosineSchedule | None
    log_every: int
    eval_every: int
    save_every: int


def make_plan(options: Options, config: dict[str, Any], steps_per_epoch: float) -> Plan:
    """The plan that the command line describes; one epoch if it names no limit."""
    schedule = None
    if "scheduler" not in config:
        peak = config["optimizer"]["params"].get("lr", 1e-3)
        schedule = CosineSchedule(peak, options.warmup_steps, options.min_lr_ratio)
    limits = _limits(options, steps_per_epoch)
    return Plan(limits, schedule, options.log_every, options.eval_every, options.save_every)


def _limits(options: Options, steps_per_epoch: float) -> Limits:
    epochs = options.epochs
    if options.steps is None and epochs is None and options.max_minutes is None:
        epochs = 1.0
    steps = options.steps
    if epochs is not None:
        by_epochs = max(1, math.floor(epochs * steps_per_epoch))
        steps = by_epochs if steps is None else min(steps, by_epochs)
    return Limits(steps, None if options.max_minutes is None else options.max_minutes * 60)
