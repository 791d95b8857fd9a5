"""The section `optimizer` of DeepSpeed's configuration file, which DeepSpeed itself checks only in use."""

import inspect
from collections.abc import Collection
from typing import Any

import torch

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest

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

    _check_keys("optimizer", section, ("type", "params", "legacy_fusion"))
    name, params = section.get("type"), section["params"]
    adams = _parameters(torch.optim.AdamW if params.get("torch_adam") is True else adam.FusedAdam) | _ADAM
    tested = {"adam": adams, "adamw": adams, "muon": adams | _MUON, "lion": _parameters(lion.FusedLion)}
    tested["adagrad"] = _parameters(torch.optim.Adagrad)
    others = {key: value for key, value in vars(torch.optim).items() if inspect.isclass(value)}
    del others["Optimizer"]  # the base of the others
    known = tested.get(str(name).lower())
    if known is None and str(name) not in others:
        raise TrainError(f"there is no optimizer.type {name!r}{nearest(str(name), {*tested, *others})}")
    if known is None and not allows_untested:
        fix = "zero_allow_untested_optimizer allows it"
        raise TrainError(f"optimizer.type {name} is not tested under ZeRO: {fix}")
    known = known or _parameters(others[name])
    _check_keys("optimizer.params", params, known)
    for key, value in params.items():
        if not _fits(value, known[key]):
            raise TrainError(f"optimizer.params.{key} must be a value such as {known[key]}, got {value!r}")


def _parameters(optimizer: type) -> dict[str, Any]:
    """The parameters beside the weights, with their defaults."""
    return {name: p.default for name, p in list(inspect.signature(optimizer).parameters.items())[1:]}


def _check_keys(where: str, values: dict[str, Any], known: Collection[str]) -> None:
    for key in values:
        if key not in known:
            raise TrainError(f"{where} has no key {key!r}{nearest(key, known)}")


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of its default's kind, and not below 0 where the default is not."""
    if isinstance(default, tuple):
        return isinstance(value, list) and len(value) == len(default) and all(map(_fits, value, default))
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, (int, float)):
        return type(value) in (int, float) and (value >= 0 or default < 0)
    return True
