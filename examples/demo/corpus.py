"""The demo's text: the source of the Python standard library, as it lies on every machine that has Python."""

import sysconfig
from pathlib import Path

HELD_OUT = ("concurrent", "html", "http", "logging", "xmlrpc")
"""Packages that the model never sees; perplexity is measured on them."""

LEFT_OUT = (
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
"""Not prose of programmers: tables, tests, other people's packages."""


def standard_library() -> Path:
    """The folder of this Python's standard library.

    Raises:
        FileNotFoundError: it holds no source, as on a machine with only compiled modules.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    if not (folder / "argparse.py").is_file():
        raise FileNotFoundError(f"{folder} holds no Python source; install your distribution's full Python 3")
    return folder


def training_arguments() -> list[str]:
    """Arguments for `python -m zeta.data prepare` that pick the training and the held-out files."""
    library = standard_library()
    held_out = [str(library / package) for package in HELD_OUT]
    return ["--input", str(library), "--validation-input", *held_out,
            "--include", "*.py", "--exclude", *LEFT_OUT, *HELD_OUT]  # fmt: skip
