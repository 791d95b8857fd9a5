"""The section `optimizer` of DeepSpeed's configuration file, which DeepSpeed itself checks only in use."""

import inspect
from typing import Any

import torch

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest
from zeta.train.section import check_keys, check_parameters, parameters

# Parameters that DeepSpeed reads itself.
_ADAM = {"torch_adam": False, "adam_w_mode": True, "fp32_optimizer_states": True}
_MUON = {"muon_lr": 0.02, "adam_lr": 1e-3, "momentum": 0.95, "ns_method": None, "per_head_muon": False}


def check_optimizer(section: dict[str, Any], allows_untested: bool) -> None:
    """Refuses an optimizer that cannot be had, and parameters that it does not take.

    Args:
        section: with its key `params`.
        allows_untested: whether the file allows an optimizer that DeepSpeed has not tested under ZeRO.

    Raises:
        TrainError: names the type or the key, and the nearest that there is, or the value.
    """
    from deepspeed.ops import adam, lion  # late: they take seconds

    check_keys("optimizer", section, ("type", "params", "legacy_fusion"))
    name, params = section.get("type"), section["params"]
    adams = parameters(torch.optim.AdamW if params.get("torch_adam") is True else adam.FusedAdam) | _ADAM
    tested = {"adam": adams, "adamw": adams, "muon": adams | _MUON, "lion": parameters(lion.FusedLion)}
    tested["adagrad"] = parameters(torch.optim.Adagrad)
    others = {key: value for key, value in vars(torch.optim).items() if inspect.isclass(value)}
    del others["Optimizer"]  # the base of the others
    known = tested.get(str(name).lower())
    if known is None and str(name) not in others:
        raise TrainError(f"there is no optimizer.type {name!r}{nearest(str(name), {*tested, *others})}")
    if known is None and not allows_untested:
        fix = "zero_allow_untested_optimizer allows it"
        raise TrainError(f"optimizer.type {name} is not tested under ZeRO: {fix}")
    check_parameters("optimizer.params", params, known or parameters(others[name]))
