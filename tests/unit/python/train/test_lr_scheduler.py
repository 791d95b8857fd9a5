"""The section `scheduler` of a DeepSpeed file."""

from typing import Any

import pytest

from zeta.train import TrainError
from zeta.train.lr_scheduler import check_lr_scheduler


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "WarmupLRR"}, "no scheduler.type 'WarmupLRR'; did you mean WarmupLR?"),
        ({"type": "math"}, "no scheduler.type 'math'"),
        ({"type": "get_lr_from_config"}, "no scheduler.type 'get_lr_from_config'"),
        ({"type": ["WarmupLR"]}, "no scheduler.type"),
        ({"params": {}}, "no scheduler.type None; DeepSpeed has .*WarmupCosineLR"),
        ({"type": "WarmupLR", "parms": {}}, "scheduler has no key 'parms'; did you mean params?"),
        (
            {"type": "WarmupLR", "params": {"warmup_steps": 3}},
            "'warmup_steps'; did you mean warmup_num_steps?",
        ),
        ({"type": "WarmupLR", "params": {"warmup_steps": [3]}}, "'warmup_steps'; did you mean"),
        ({"type": "WarmupLR", "params": {"warmup_num_steps": "3"}}, "params.warmup_num_steps .* got '3'"),
        ({"type": "WarmupDecayLR"}, "scheduler.params needs the key 'total_num_steps'"),
        ({"type": "StepLR", "params": {"gamma": 0.5}}, "scheduler.params needs the key 'step_size'"),
    ],
)
def test_names_what_the_scheduler_does_not_take(section: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainError, match=message):
        check_lr_scheduler(section)


@pytest.mark.parametrize(
    "section",
    [
        {"type": "WarmupLR"},
        {"type": "WarmupLR", "params": {"warmup_min_lr": [0, 1e-5], "last_batch_iteration": -1}},
        {"type": "WarmupDecayLR", "params": {"total_num_steps": 100, "warmup_type": "linear"}},
        {"type": "OneCycle", "params": {"cycle_min_lr": 1e-4, "cycle_max_lr": 1e-3}},
        {"type": "MultiStepLR", "params": {"milestones": [10, 20]}},
    ],
)
def test_accepts_what_a_scheduler_takes(section: dict[str, Any]) -> None:
    check_lr_scheduler(section)
