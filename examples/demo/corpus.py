"""The demo's text: the source of the Python standard library, as it lies on every machine that has Python."""

from zeta.data.standard_library import LEFT_OUT, standard_library

HELD_OUT = ("concurrent", "html", "http", "logging", "xmlrpc")
"""Packages that the model never sees; perplexity is measured on them."""


def training_arguments() -> list[str]:
    """Arguments for `python -m zeta.data prepare` that pick the training and the held-out files."""
    library = standard_library()
    held_out = [str(library / package) for package in HELD_OUT]
    return ["--input", str(library), "--validation-input", *held_out,
            "--include", "*.py", "--exclude", *LEFT_OUT, *HELD_OUT]  # fmt: skip
