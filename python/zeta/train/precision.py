"""Which floating-point type a run computes in."""

from typing import Any

import torch

from zeta.train.accelerator import on_gpu
from zeta.train.config import requested_dtype
from zeta.train.errors import TrainError

TORCH_DTYPE = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_dtype(choice: str, config: dict[str, Any]) -> str:
    """Returns `fp32`, `bf16` or `fp16`.

    What DeepSpeed's file or `choice` (zeta_params' `dtype`) asks for; where both leave it open, bf16 on a
    device with bf16 matrix instructions and fp32 elsewhere, where emulated bf16 is several times slower.

    Raises:
        TrainError: the two ask for different ones.
    """
    requested = requested_dtype(config)
    if choice == "auto":
        return requested or ("bf16" if _fast_bf16() else "fp32")
    if requested not in (None, choice):
        section = "fp16" if requested == "fp16" else "bf16"
        raise TrainError(
            f"--zeta_params: dtype={choice} contradicts {section}.enabled of --config, which asks for "
            f"{requested}: leave one of them out"
        )
    return choice


def _fast_bf16() -> bool:
    if on_gpu():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
