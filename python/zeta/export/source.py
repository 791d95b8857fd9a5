"""What is exported: a checkpoint of `zeta.train` or a plain Hugging Face folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zeta.export import replicated, safetensors_files, zero3
from zeta.export.dtypes import parse_dtype
from zeta.export.errors import ExportError
from zeta.export.json_file import read_json
from zeta.export.weights import Weights
from zeta.quant import quantize_weight
from zeta.quant.precision import DEFAULT_GROUP_SIZE
from zeta.train.latest import latest_checkpoint

NONE = "none"


@dataclass(frozen=True)
class Source:
    """An opened model.

    Attributes:
        folder: where it lies.
        tokenizer: the folder of its tokenizer.
        config: its config.json.
        precision: a precision of `BitLinear` or `"none"`: what its linear layers were trained with.
        group_size: what 4-bit weights were trained with; the default where nothing was.
        dtype: of the weights as the forward saw them.
        weights: its tensors as stored, which under ZeRO-3 means the optimizer's fp32 masters.
    """

    folder: Path
    tokenizer: Path
    config: dict[str, Any]
    precision: str
    group_size: int
    dtype: torch.dtype
    weights: Weights

    def seen(self, name: str) -> Tensor:
        """Read one tensor as the forward saw it: floating-point ones cast to `dtype`, half to even."""
        tensor = self.weights.load(name)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def quantized(self, name: str, precision: str, group_size: int) -> tuple[Tensor, Tensor]:
        """Codes and scale of a linear layer's weight, as `zeta.quant.quantize_weight` gives them."""
        return quantize_weight(self.seen(name), precision, group_size)


def open_source(path: Path) -> Source:
    """Open a checkpoint folder `step-NNNNNN`, a run (its `latest` checkpoint), or a Hugging Face folder.

    Raises:
        ExportError: none of these, half-written, truncated, or quantised already.
    """
    folder = _resolve(path)
    config = read_json(folder / "config.json")
    packing = config.pop("quantization_config", None)
    if packing is not None:
        method = packing.get("quant_method") if isinstance(packing, dict) else packing
        raise ExportError(f"{folder}: is packed already ({method}); export the checkpoint it was made from")
    if (folder / "zeta.json").exists():
        return _open_checkpoint(folder, config)
    weights = safetensors_files.SafetensorsWeights(folder)
    dtype = parse_dtype(
        config.get("dtype") or config.get("torch_dtype") or "float32", f"{folder}/config.json"
    )
    return Source(folder, folder, config, NONE, DEFAULT_GROUP_SIZE, dtype, weights)


def _open_checkpoint(folder: Path, config: dict[str, Any]) -> Source:
    where = folder / "zeta.json"
    zeta = read_json(where)
    for key in ("precision", "group_size", "dtype"):
        if key not in zeta:
            raise ExportError(f"{where}: has no {key!r}; it is no checkpoint of zeta.train")
    if type(zeta["group_size"]) is not int:
        raise ExportError(f"{where}: expected group_size to be an integer, got {zeta['group_size']!r}")
    dtype = parse_dtype(zeta["dtype"], str(where))
    weights = _open_deepspeed(folder)
    return Source(folder, folder / "tokenizer", config, zeta["precision"], zeta["group_size"], dtype, weights)


def _open_deepspeed(folder: Path) -> Weights:
    if any(folder.glob(zero3.MODEL_PATTERN)):
        return zero3.Zero3Weights(folder)
    if (folder / replicated.FILE).exists():
        return replicated.ReplicatedWeights(folder)
    raise ExportError(f"{folder}: holds no DeepSpeed files (*_model_states.pt); the checkpoint is not whole")


def _resolve(path: Path) -> Path:
    """The folder of the model that `path` means."""
    if path.name.endswith(".tmp"):
        raise ExportError(f"{path}: is a checkpoint whose writing was cut off; take a step-NNNNNN folder")
    if (path / "config.json").exists():
        return path
    if not path.is_dir():
        raise ExportError(f"{path}: no such folder")
    checkpoints = path / "checkpoints"
    latest = latest_checkpoint(checkpoints) if checkpoints.is_dir() else None
    if latest is None:
        raise ExportError(
            f"{path}: expected a checkpoint step-NNNNNN, a run with checkpoints, or a Hugging Face folder; "
            "found neither config.json nor checkpoints/step-NNNNNN"
        )
    return latest
