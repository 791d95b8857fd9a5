"""Which linear layers of a model are meant."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from zeta.quant.precision import check_features, check_precision


def select_linear(
    model: nn.Module,
    include: Iterable[str] | None,
    exclude: Iterable[str],
    kinds: tuple[type[nn.Linear], ...] = (nn.Linear,),
) -> dict[str, nn.Linear]:
    """The linear layers that the patterns choose, by name, in the model's order.

    Subclasses other than `kinds` are left alone, since their forward may differ; so is `model` itself.

    Args:
        include: shell patterns (`fnmatch`) of dotted names, each for a whole name or for its end after a
            dot: `"lm_head"` means `model.lm_head` too, `"layers.*.mlp.*"` all below. None: all layers.
        exclude: patterns of layers to leave, even if included.
        kinds: the types that are meant, each itself.
    Raises:
        ValueError: none is left.
    """
    include, exclude = None if include is None else _patterns(include), _patterns(exclude)
    linears = {name: module for name, module in model.named_modules() if type(module) in kinds and name}
    chosen = {
        name: linear
        for name, linear in linears.items()
        if (include is None or _matches(name, include)) and not _matches(name, exclude)
    }
    if not chosen:
        raise ValueError(
            f"no nn.Linear to replace in {type(model).__name__}: it has {len(linears)}"
            f"{' (' + ', '.join(list(linears)[:5]) + ' …)' if linears else ''}, "
            f"include={include}, exclude={exclude}"
        )
    return chosen


def check_layers(layers: dict[str, nn.Linear], precision: str, group_size: int) -> None:
    """Check that every layer's weight can be quantised so.

    Raises:
        ValueError: unknown precision, or a `group_size` that does not divide a layer's `in_features` (the
            layer is named).
    """
    check_precision(precision)
    for name, linear in layers.items():
        try:
            check_features(linear.in_features, precision, group_size)
        except ValueError as error:
            raise ValueError(f"{name}: {error}, or exclude the layer") from None


def _patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}") for pattern in patterns)
