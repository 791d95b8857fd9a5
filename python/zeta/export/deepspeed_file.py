"""One file of a DeepSpeed checkpoint, read without DeepSpeed and without running code that the file names.

DeepSpeed's own readers unpickle with `weights_only=False`: a checkpoint from elsewhere could run any code.
Here tensors and plain containers are read as they are, and every other object becomes an empty one.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from zeta.export.errors import ExportError


class _Emptied:
    """Stands for an object of a class that an export has no use for."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_deepspeed_file(path: Path) -> dict[str, Any]:
    """Read a `*_model_states.pt` or `*_optim_states.pt`; tensors are mapped and read as they are used.

    Raises:
        ExportError: missing, truncated, or not a file that DeepSpeed wrote.
    """
    try:
        with safe_globals([(_Emptied, name) for name in get_unsafe_globals_in_checkpoint(path)]):
            content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except FileNotFoundError as error:
        raise ExportError(f"{path}: missing: the checkpoint is not whole; take another") from error
    except pickle.UnpicklingError as error:
        raise ExportError(f"{path}: names code that no checkpoint needs; refused") from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise ExportError(f"{path}: truncated, or no DeepSpeed file; take another checkpoint") from error
    if not isinstance(content, dict):
        raise ExportError(f"{path}: expected a dictionary of DeepSpeed's, got {type(content).__name__}")
    return content
