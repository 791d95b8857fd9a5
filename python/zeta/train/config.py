"""DeepSpeed's configuration: completed, and checked by DeepSpeed itself."""

import copy
from pathlib import Path
from typing import Any

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest

_DEFAULT_OPTIMIZER = {"type": "AdamW", "params": {"lr": 1e-3, "betas": [0.9, 0.95], "weight_decay": 0.1}}


def requested_dtype(config: dict[str, Any]) -> str | None:
    """The dtype that the configuration file itself asks for: `bf16`, `fp16`, `fp32` by `bf16.enabled: false`,
    or None if it leaves it open."""
    enabled = {dtype: config.get(dtype, {}).get("enabled") for dtype in ("bf16", "fp16")}
    for dtype, value in enabled.items():
        if value is True:
            return dtype
    return "fp32" if enabled["bf16"] is False else None


def complete_config(config: dict[str, Any], dtype: str, lr: float | None) -> dict[str, Any]:
    """Returns a copy with the arithmetic, the optimizer and the peak learning rate settled.

    Adam is PyTorch's own unless the file says `"torch_adam": false` or offloads the optimizer: DeepSpeed's
    fused and CPU versions are compiled on first use, for which not every machine has a compiler.
    """
    config = copy.deepcopy(config)
    if dtype == "bf16":
        config["bf16"] = {**config.get("bf16", {}), "enabled": True}
    optimizer = config.setdefault("optimizer", copy.deepcopy(_DEFAULT_OPTIMIZER))
    params = optimizer.setdefault("params", {})
    if str(optimizer.get("type")).lower() in ("adam", "adamw") and not _offloads(config):
        params.setdefault("torch_adam", True)
    if lr is not None:
        params["lr"] = lr
    return config


def check_config(config: dict[str, Any], path: Path) -> int:
    """Has DeepSpeed parse `config` for this job's world size; returns the micro-batch size of a rank.

    Raises:
        TrainError: what DeepSpeed refuses, a key that DeepSpeed never looks at, an optimizer or a scheduler that
            it does not have, or a ZeRO stage other than 3.
    """
    from deepspeed.runtime.config import DeepSpeedConfig, DeepSpeedConfigError

    from zeta.train.lr_scheduler import check_lr_scheduler
    from zeta.train.optimizer import check_optimizer

    watched = _Watched(config)
    try:
        parsed = DeepSpeedConfig(watched)
    except (AssertionError, ValueError, TypeError, KeyError, AttributeError, DeepSpeedConfigError) as error:
        raise TrainError(f"--config {path}: {refusal(error)}") from error
    for key in config:
        if key not in watched.read:
            raise TrainError(f"--config {path}: DeepSpeed knows no key {key!r}{nearest(key, watched.read)}")
    if parsed.zero_optimization_stage != 3:
        raise TrainError(
            f"--config {path}: expected zero_optimization.stage 3, got {parsed.zero_optimization_stage}"
        )
    try:
        check_optimizer(config["optimizer"], bool(config.get("zero_allow_untested_optimizer")))
        if "scheduler" in config:
            check_lr_scheduler(config["scheduler"])
    except TrainError as error:
        raise TrainError(f"--config {path}: {error}") from error
    return parsed.train_micro_batch_size_per_gpu


def _offloads(config: dict[str, Any]) -> bool:
    return "offload_optimizer" in config.get("zero_optimization", {})


class _Watched(dict[str, Any]):
    """A dictionary that remembers which keys were asked for: the keys that a reader knows."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)


def refusal(error: Exception) -> str:
    """What DeepSpeed found wrong with a configuration, in one line that names the key."""
    from deepspeed.runtime.config_utils import DeepSpeedConfigModel
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error).strip().partition("\n")[0]
    mistake = error.errors()[0]
    key = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] != "extra_forbidden":
        return f"{key}: {mistake['msg']}, got {mistake['input']!r}"
    known = {name for section in DeepSpeedConfigModel.__subclasses__() for name in section.model_fields}
    return f"DeepSpeed knows no key {key!r}{nearest(str(mistake['loc'][-1]), known)}"
