"""Loads libzeta_ops.so, which registers the operators under `torch.ops.zeta`."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import torch


@functools.cache
def load() -> None:
    """Load the operator library, once a process, from `$ZETA_LIBRARY_DIR` or from the package's own `lib/`.

    Raises:
        ImportError: the library is not there, or it was built for another torch than the one that runs.
    """
    folder = Path(os.environ.get("ZETA_LIBRARY_DIR") or Path(__file__).parent / "lib")
    library = folder / "libzeta_ops.so"
    if not library.is_file():
        raise ImportError(
            f"{library} not found: build the project, or point ZETA_LIBRARY_DIR at its lib folder"
        )
    running = torch.__version__.split("+")[0]
    try:
        torch.ops.load_library(library)
    except OSError as error:
        raise ImportError(
            f"{library} does not load with torch {running}, probably not the one it was built for: {error}"
        ) from error
    built = torch.ops.zeta.torch_version()
    if built != running:
        raise ImportError(
            f"{library} was built for torch {built}, and this is torch {running}: install torch=={built}"
        )
