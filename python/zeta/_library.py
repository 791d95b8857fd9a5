"""Loads libzeta_ops.so, which registers the operators under `torch.ops.zeta`, and its CUDA half."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import torch


@functools.cache
def load() -> None:
    """Load the operator libraries, once a process, from `$ZETA_LIBRARY_DIR` or from the package's own `lib/`.

    libzeta_ops_cuda.so holds CUDA kernels. It is loaded where it was built and there is a GPU; without it the
    same operators run on a GPU through PyTorch's.

    Raises:
        ImportError: libzeta_ops.so is not there, or a library was built for another torch than the one that
            runs.
    """
    folder = Path(os.environ.get("ZETA_LIBRARY_DIR") or Path(__file__).parent / "lib")
    library, cuda_library = folder / "libzeta_ops.so", folder / "libzeta_ops_cuda.so"
    if not library.is_file():
        raise ImportError(
            f"{library} not found: build the project, or point ZETA_LIBRARY_DIR at its lib folder"
        )
    running = torch.__version__.split("+")[0]
    _load(library, f"torch {running}")
    built = torch.ops.zeta.torch_version()
    if built != running:
        raise ImportError(
            f"{library} was built for torch {built}, and this is torch {running}: install torch=={built}"
        )
    if cuda_library.is_file() and torch.cuda.is_available():
        _load(cuda_library, f"torch {running} for CUDA {torch.version.cuda}")


def _load(library: Path, running: str) -> None:
    try:
        torch.ops.load_library(library)
    except OSError as error:
        raise ImportError(
            f"{library} does not load with {running}, probably not the one it was built for: {error}"
        ) from error
