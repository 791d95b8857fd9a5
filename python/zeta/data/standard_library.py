"""The source of Python's standard library: text that lies on every machine that has Python."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from zeta.data.errors import DataError

LEFT_OUT: tuple[str, ...] = (
    "site-packages",
    "test",
    "tests",
    "idle_test",
    "idlelib",
    "lib2to3",
    "encodings",
    "pydoc_data",
    "turtledemo",
)
"""Names, for ``--exclude``, of what is no prose of programmers: tables, tests, other people's packages."""


def standard_library() -> Path:
    """The folder of this Python's standard library; its source is ``*.py`` outside :data:`LEFT_OUT`.

    Raises:
        DataError: it holds no source, as on a machine with only compiled modules.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    if not (folder / "argparse.py").is_file():
        raise DataError(f"{folder} holds no Python source; install your distribution's full Python 3")
    return folder
