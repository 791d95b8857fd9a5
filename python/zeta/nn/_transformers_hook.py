"""Registers `attn_implementation="zeta"` once transformers is there, without importing it.

transformers takes seconds to import and many programs never do, so its own import triggers the registration.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

_TARGET = "transformers.modeling_utils"  # every model imports it, and it imports masking_utils


def install() -> None:
    """Register now where transformers' models are imported already, else right after they are."""
    if _TARGET in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Finder())


def _register() -> None:
    from zeta.nn.transformers_attention import register

    register()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the target as the other finders do, but has its loader call `_register` when done."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                _register()

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
