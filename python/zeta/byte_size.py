"""Sizes on command lines."""

from __future__ import annotations

import argparse
import re

_PREFIXES = "KMGT"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])?(i)?B)?", re.IGNORECASE)


def byte_size(text: str) -> int:
    """An argparse type: bytes as a number, or with a unit, `kB` … `TB` (10³ …) or `KiB` … `TiB` (2¹⁰ …).

    Raises:
        argparse.ArgumentTypeError: it is no such size, or less than one byte.
    """
    match = _SIZE.fullmatch(text.strip())
    size = 0
    if match and (match[2] or not match[3]):
        power = _PREFIXES.index(match[2].upper()) + 1 if match[2] else 0
        size = int(float(match[1]) * (1024 if match[3] else 1000) ** power)
    if size < 1:
        raise argparse.ArgumentTypeError(f"expected a size such as 64MiB (2²⁰) or 5GB (10⁹), got {text!r}")
    return size
