"""Which files of a folder are text or code: include and exclude globs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

_TEXT = "txt text md markdown rst tex html htm xml json jsonl yaml yml toml ini cfg csv tsv log"
_CODE = (
    "py pyi ipynb c h cc cpp cxx hh hpp hxx cu cuh rs go java kt scala swift m js jsx ts tsx vue rb php pl lua r jl hs "
    "ml ex erl clj lisp cs fs sh bash zsh ps1 sql proto cmake mk asm s css scss gradle tf nix zig"
)

DEFAULT_INCLUDE: tuple[str, ...] = tuple(f"*.{suffix}" for suffix in f"{_TEXT} {_CODE}".split())
DEFAULT_EXCLUDE: tuple[str, ...] = (".*", "__pycache__", "node_modules")


@dataclass(frozen=True)
class Selection:
    """Globs in the manner of ``.gitignore``.

    A pattern with ``/`` is matched against the path below the input folder (``*`` crosses ``/``). One without is
    matched against the file's name (include) or against any part of the path (exclude). Exclude wins.

    Args:
        include: patterns of wanted files; empty for :data:`DEFAULT_INCLUDE`.
        exclude: patterns of unwanted files and folders, besides :data:`DEFAULT_EXCLUDE`.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def wants(self, name: str) -> bool:
        """Whether the file ``name``, relative to its input folder, is taken."""
        parts = name.split("/")
        if any(_matches(pattern, name, parts) for pattern in (*DEFAULT_EXCLUDE, *self.exclude)):
            return False
        return any(_matches(pattern, name, parts[-1:]) for pattern in self.include or DEFAULT_INCLUDE)


def _matches(pattern: str, name: str, parts: Sequence[str]) -> bool:
    if "/" in pattern:
        return fnmatchcase(name, pattern.lstrip("/"))
    return any(fnmatchcase(part, pattern) for part in parts)
