"""The section `scheduler` of DeepSpeed's configuration file, which DeepSpeed itself checks only in use."""

import inspect
from typing import Any

from torch.optim import lr_scheduler

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest
from zeta.train.section import check_keys, check_parameters, parameters


def check_lr_scheduler(section: dict[str, Any]) -> None:
    """Refuses a schedule that DeepSpeed does not have, and parameters that it does not take.

    Raises:
        TrainError: names the type or the key, and the nearest that there is, or the value.
    """
    from deepspeed.runtime import lr_schedules  # late: it takes seconds

    check_keys("scheduler", section, ("type", "params"))
    known = {name: getattr(lr_schedules, name) for name in lr_schedules.VALID_LR_SCHEDULES} | _torchs()
    name, params = section.get("type"), section.get("params", {})
    if str(name) not in known:
        hint = nearest(str(name), known) or f"; DeepSpeed has {', '.join(lr_schedules.VALID_LR_SCHEDULES)}"
        raise TrainError(f"there is no scheduler.type {name!r}{hint}")
    lists = {key: None for key, value in params.items() if isinstance(value, list)}  # a value for each group
    check_keys("scheduler.params", lists, defaults := parameters(known[name]))
    check_parameters("scheduler.params", params, defaults | lists)


def _torchs() -> dict[str, type]:
    return {
        name: value
        for name, value in vars(lr_scheduler).items()
        if inspect.isclass(value) and issubclass(value, lr_scheduler.LRScheduler)
    }
