"""Zeta: train, shrink and serve AI models.

Parts are loaded when first used: `import zeta` alone imports no torch.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.9.0"

_PARTS = ("data", "export", "nn", "quant", "serve", "train")


def __getattr__(name: str) -> ModuleType:
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PARTS])
