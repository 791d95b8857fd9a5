"""Which files of a folder are text or code: include and exclude globs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

_TEXT = "txt text md markdown rst tex html htm xml json jsonl yaml yml toml ini cfg csv tsv log"
_CODE = (
    "py pyi ipynb c h cc cpp cxx hh hpp hxx cu cuh rs go java kt scala swift m js jsx ts tsx vue rb php pl "
    "lua r jl hs ml ex erl clj lisp cs fs sh bash zsh ps1 sql proto cmake mk asm s css scss gradle tf nix zig"
)

DEFAULT_INCLUDE: tuple[str, ...] = tuple(f"*.{suffix}" for suffix in f"{_TEXT} {_CODE}".split())
DEFAULT_EXCLUDE: tuple[str, ...] = (".*", "__pycache__", "node_modules")


@dataclass(frozen=True)
class Selection:
    """Globs in the manner of ``.gitignore``.

    A pattern with ``/`` is matched against the path below the input folder (``*`` crosses ``/``), one without
    against the name. What is below an excluded folder is excluded; exclude wins over include.

    Args:
        include: patterns of wanted files; empty for :data:`DEFAULT_INCLUDE`.
        exclude: patterns of unwanted files and folders, besides :data:`DEFAULT_EXCLUDE`.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def wants(self, path: str) -> bool:
        """Whether the file at ``path``, relative to its input folder, is taken."""
        return not self.excludes(path) and any(
            _matches(path, glob) for glob in self.include or DEFAULT_INCLUDE
        )

    def excludes(self, path: str) -> bool:
        """Whether the file or folder at ``path``, or a folder around it, is excluded."""
        parts = path.split("/")
        around = ("/".join(parts[: depth + 1]) for depth in range(len(parts)))
        return any(_matches(folder, glob) for folder in around for glob in (*DEFAULT_EXCLUDE, *self.exclude))


def _matches(path: str, glob: str) -> bool:
    return fnmatchcase(path, glob.strip("/")) if "/" in glob else fnmatchcase(path.rpartition("/")[2], glob)
