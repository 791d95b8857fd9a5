"""Names of floating-point types, as training and `transformers` write them."""

from __future__ import annotations

import torch

from zeta.export.errors import ExportError

_DTYPES = {
    "fp32": torch.float32,
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp16": torch.float16,
    "float16": torch.float16,
}


def parse_dtype(name: object, where: str) -> torch.dtype:
    """Return the dtype called `name`; `where` says who called it so, for the error.

    Raises:
        ExportError: not a name of a dtype that a model can have.
    """
    dtype = _DTYPES.get(name.removeprefix("torch.")) if isinstance(name, str) else None
    if dtype is None:
        raise ExportError(f"{where}: expected dtype to be one of {', '.join(_DTYPES)}, got {name!r}")
    return dtype


def dtype_name(dtype: torch.dtype) -> str:
    """The name that `transformers` gives `dtype` in a config.json: `float32`, `bfloat16`, `float16`."""
    return str(dtype).removeprefix("torch.")
