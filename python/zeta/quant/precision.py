"""The precisions that a quantised layer can have, and the one place where their names are checked."""

from __future__ import annotations

import difflib
from typing import NamedTuple


class Precision(NamedTuple):
    """What a precision asks of a layer."""

    grouped: bool  # `group_size` input features share a scale


BINARY = "1bit"
TERNARY = "1.58bit"
INT2 = "2bit"
INT4 = "4bit"
W4A8 = "w4a8"  # the weights of INT4, activations in int8
INT8 = "8bit"
FP8 = "fp8"
PRECISIONS = {
    BINARY: Precision(grouped=False),
    TERNARY: Precision(grouped=False),
    INT2: Precision(grouped=False),
    INT4: Precision(grouped=True),
    W4A8: Precision(grouped=True),
    INT8: Precision(grouped=False),
    FP8: Precision(grouped=False),
}
KNOWN = tuple(PRECISIONS)

DEFAULT_GROUP_SIZE = 128


def check_precision(precision: str) -> str:
    """Return `precision` if it is a known one.

    Raises:
        ValueError: it is not; the message names the known ones and the nearest.
    """
    if precision in KNOWN:
        return precision
    known = ", ".join(repr(name) for name in KNOWN)
    near = difflib.get_close_matches(str(precision), KNOWN, n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"expected precision to be one of {known}, got {precision!r}{hint}")


def check_features(in_features: int, precision: str, group_size: int) -> None:
    """Check that a weight with `in_features` columns can be quantised in groups of `group_size`.

    Precisions without groups take any size.

    Raises:
        ValueError: `group_size` is no positive multiple of 8 or does not divide `in_features`.
    """
    if not PRECISIONS[precision].grouped:
        return
    if group_size <= 0 or group_size % 8:
        raise ValueError(f"expected group_size to be a positive multiple of 8, got {group_size}")
    if in_features % group_size:
        raise ValueError(
            f"expected in_features to be a multiple of group_size {group_size}, got {in_features}; "
            "choose a group_size that divides it"
        )
