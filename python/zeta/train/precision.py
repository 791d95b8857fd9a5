"""Which floating-point type a run computes in."""

from typing import Any

import torch

from zeta.train.accelerator import on_gpu
from zeta.train.config import requested_dtype

TORCH_DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_dtype(choice: str, config: dict[str, Any]) -> str:
    """Returns `fp32`, `bf16` or `fp16`.

    DeepSpeed's file wins if it asks for one; then `choice` (zeta_params' `dtype`); then, for `auto`, bf16 on
    a device with bf16 matrix instructions and fp32 elsewhere, where emulated bf16 is several times slower.
    """
    requested = requested_dtype(config)
    if requested is not None:
        return requested
    if choice != "auto":
        return choice
    return "bf16" if _fast_bf16() else "fp32"


def _fast_bf16() -> bool:
    if on_gpu():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
