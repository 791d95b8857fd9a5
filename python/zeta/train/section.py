"""What DeepSpeed's configuration file says of a class: its parameters by name, held against its signature."""

import inspect
from collections.abc import Collection
from typing import Any

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest

_REQUIRED = inspect.Parameter.empty


def parameters(made: type) -> dict[str, Any]:
    """The parameters of a class with their defaults, but for the first: what DeepSpeed itself hands over."""
    return {name: p.default for name, p in list(inspect.signature(made).parameters.items())[1:]}


def check_keys(where: str, values: dict[str, Any], known: Collection[str]) -> None:
    """Raises TrainError for a key that is not known, with the nearest that is."""
    for key in values:
        if key not in known:
            raise TrainError(f"{where} has no key {key!r}{nearest(key, known)}")


def check_parameters(where: str, values: dict[str, Any], known: dict[str, Any]) -> None:
    """Checks the names of `values`, that none is missing, and that each is of its default's kind.

    Raises:
        TrainError: names the key.
    """
    check_keys(where, values, known)
    for key, default in known.items():
        if default is _REQUIRED and key not in values:
            raise TrainError(f"{where} needs the key {key!r}")
        if key in values and not _fits(values[key], default):
            raise TrainError(f"{where}.{key} must be a value such as {default}, got {values[key]!r}")


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of its default's kind, and not below 0 where the default is not."""
    if isinstance(default, tuple):
        return isinstance(value, list) and len(value) == len(default) and all(map(_fits, value, default))
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, (int, float)):
        return type(value) in (int, float) and (value >= 0 or default < 0)
    return True
