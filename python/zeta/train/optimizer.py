"""The section `optimizer` of DeepSpeed's configuration file, which DeepSpeed itself checks only in use."""

import importlib
import inspect
from collections.abc import Collection
from typing import Any

import torch
from deepspeed.runtime.config import DEEPSPEED_OPTIMIZERS
from deepspeed.runtime.engine import DeepSpeedEngine

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest

_SECTION = ("type", "params", "legacy_fusion")
_ADAM = {
    "torch_adam",
    "adam_w_mode",
    "fp32_optimizer_states",
}  # What DeepSpeed takes out before the optimizer.
_TESTED = ("adam", "adamw", "adagrad", "lion", "muon")
_NUMBERS = ("lr", "eps", "weight_decay")
_MUP = {"muadam": "MuAdam", "muadamw": "MuAdamW", "musgd": "MuSGD"}


def check_optimizer(section: dict[str, Any], offloads: bool, allows_untested: bool) -> None:
    """Refuses an optimizer that DeepSpeed does not have, and a parameter that the optimizer does not take.

    Args:
        section: with its key `params`.
        offloads: whether the optimizer's state lies in the host's memory.
        allows_untested: whether the file allows an optimizer that DeepSpeed has not tested under ZeRO.

    Raises:
        TrainError: names the key or the type, and the nearest that there is.
    """
    _check_keys("optimizer", section, _SECTION)
    name, params = section.get("type"), section["params"]
    if not isinstance(name, str):
        raise TrainError(f"optimizer.type must name an optimizer, such as AdamW, got {name!r}")
    if "max_grad_norm" in params:
        raise TrainError(
            "optimizer.params.max_grad_norm: clip with gradient_clipping, a key of the whole file"
        )
    _check_keys("optimizer.params", params, _parameters(name, params, offloads))
    if name.lower() not in _TESTED and not allows_untested:
        raise TrainError(
            f"optimizer.type {name} is not tested under ZeRO: zero_allow_untested_optimizer allows it"
        )
    for key in _NUMBERS:
        value = params.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TrainError(f"optimizer.params.{key} must be a number, got {value!r}")


def _check_keys(where: str, values: dict[str, Any], known: Collection[str]) -> None:
    for key in values:
        if key not in known:
            raise TrainError(f"{where} has no key {key!r}{nearest(key, known)}")


def _parameters(name: str, params: dict[str, Any], offloads: bool) -> set[str]:
    """The keys of `optimizer.params` for an optimizer, found as DeepSpeed finds the optimizer."""
    match name.lower():
        case "adam" | "adamw" if params.get("torch_adam"):
            return _ADAM | _arguments("torch.optim", "AdamW")
        case "adam" | "adamw":
            return _ADAM | _arguments("deepspeed.ops.adam", "DeepSpeedCPUAdam" if offloads else "FusedAdam")
        case "adagrad" if not offloads:
            return _arguments("torch.optim", "Adagrad")
        case "adagrad":
            return _arguments("deepspeed.ops.adagrad", "DeepSpeedCPUAdagrad")
        case "lamb":
            return _arguments("deepspeed.ops.lamb", "FusedLamb")
        case "lion":
            return _arguments("deepspeed.ops.lion", "DeepSpeedCPULion" if offloads else "FusedLion")
        case "muon":
            halves = {*DeepSpeedEngine._MUON_HALF_KEYS, *DeepSpeedEngine._ADAM_HALF_KEYS}
            return _ADAM | halves | {"muon_lr", "adam_lr"}
        case "muadam" | "muadamw" | "musgd":
            return _arguments("mup", _MUP[name.lower()])
    torchs = _torch_optimizers()
    if name not in torchs:
        known = {*DEEPSPEED_OPTIMIZERS, *torchs}
        raise TrainError(f"DeepSpeed has no optimizer.type {name!r}{nearest(name, known)}")
    return _arguments("torch.optim", name)


def _arguments(module: str, name: str) -> set[str]:
    try:
        optimizer = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise TrainError(f"optimizer {name} needs the package {module}, which is not installed") from error
    return set(list(inspect.signature(optimizer).parameters)[1:])  # The first are the weights.


def _torch_optimizers() -> set[str]:
    return {
        name
        for name, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
    }
