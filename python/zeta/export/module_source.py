"""A PyTorch module and its example inputs, as a command line names them."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from zeta.export.errors import ExportError

_DTYPES = {
    "BOOL": torch.bool, "UINT8": torch.uint8, "INT8": torch.int8, "INT16": torch.int16, "INT32": torch.int32,
    "INT64": torch.int64, "FP16": torch.float16, "BF16": torch.bfloat16, "FP32": torch.float32,
    "FP64": torch.float64,
}  # fmt: skip


def load_module(source: str, weights: Path | None = None) -> nn.Module:
    """The module that `package.module:name` names: an `nn.Module`, or what gives one without arguments.

    Args:
        source: where it is; the current folder is searched first.
        weights: a state dict, as `.safetensors` or as torch saves it, that replaces all of its weights.
    Raises:
        ExportError: there is no such thing, or the weights are not the module's.
    """
    path, colon, name = source.partition(":")
    if not colon or not path or not name:
        raise ExportError(f"{source}: expected MODULE:NAME, such as package.model:Network")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(path), name)
        module = found if isinstance(found, nn.Module) else found()
    except Exception as error:  # the user's own code runs here
        raise ExportError(f"{source}: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise ExportError(f"{source}: expected a torch.nn.Module, got {type(module).__name__}")
    if weights is not None:
        _load_weights(module, weights)
    return module


def _load_weights(module: nn.Module, path: Path) -> None:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(state)
    except Exception as error:  # of the file's own format
        raise ExportError(f"{path}: {str(error).strip().splitlines()[0]}") from error


def example_input(text: str) -> tuple[str, Tensor]:
    """A tensor from `NAME:TYPE:SIZE,SIZE…`, such as `x:FP32:2,16`; of random numbers, or of zeros and ones.

    Raises:
        ValueError: the text says something else.
    """
    parts = text.split(":")
    if len(parts) != 3 or not parts[0].isidentifier():
        raise ValueError(f"expected NAME:TYPE:SIZES, such as x:FP32:2,16, got {text}")
    name, datatype, sizes = parts
    if datatype not in _DTYPES:
        raise ValueError(f"{name}: expected a type of {', '.join(_DTYPES)}, got {datatype}")
    shape = [int(size) for size in sizes.split(",")] if sizes else []
    if any(size < 1 for size in shape):
        raise ValueError(f"{name}: expected sizes of at least 1, got {sizes}")
    dtype = _DTYPES[datatype]
    if dtype.is_floating_point:
        return name, torch.randn(shape).to(dtype)
    return name, torch.randint(0, 2, shape).to(dtype)
