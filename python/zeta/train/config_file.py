"""DeepSpeed's configuration file as JSON: what DeepSpeed would take as it is and stumble over later."""

import json
from pathlib import Path
from typing import Any

from zeta.train.errors import TrainError

_SECTIONS = ("zero_optimization", "optimizer", "scheduler", "bf16", "fp16")
_PARAMETERS = ("optimizer", "scheduler")
_COUNTS = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "steps_per_print",
)
_DTYPES = ("bf16", "fp16")


def read_config(path: Path) -> dict[str, Any]:
    """Reads DeepSpeed's configuration.

    Raises:
        TrainError: no such file, no JSON object, or a section or a number that is none.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainError(f"--config {path}: {error.strerror}") from error
    except ValueError as error:
        raise TrainError(f"--config {path}: not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise TrainError(f"--config {path}: expected a JSON object, got {type(config).__name__}")
    try:
        _check_sections(config)
        _check_values(config)
    except TrainError as error:
        raise TrainError(f"--config {path}: {error}") from error
    return config


def _check_sections(config: dict[str, Any]) -> None:
    for key in _SECTIONS:
        if not isinstance(config.get(key, {}), dict):
            raise TrainError(f"{key} must be a JSON object, got {config[key]!r}")
    for key in _PARAMETERS:
        params = config.get(key, {}).get("params", {})
        if not isinstance(params, dict):
            raise TrainError(f"{key}.params must be a JSON object, got {params!r}")
    for key in _DTYPES:
        enabled = config.get(key, {}).get("enabled", False)
        if not isinstance(enabled, bool):
            raise TrainError(f"{key}.enabled must be true or false, got {enabled!r}")


def _check_values(config: dict[str, Any]) -> None:
    for key in _COUNTS:
        value = config.get(key)
        if value is not None and (type(value) is not int or value < 1):
            raise TrainError(f"{key} must be an integer ≥ 1, got {value!r}")
    clipping = config.get("gradient_clipping", 0.0)
    if type(clipping) not in (int, float) or not clipping >= 0:
        raise TrainError(f"gradient_clipping must be a number ≥ 0, got {clipping!r}")
