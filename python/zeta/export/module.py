"""A quantised model in memory as the source of an export."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from zeta.export.dtypes import parse_dtype
from zeta.export.errors import ExportError
from zeta.export.json_file import read_json
from zeta.export.pipeline import DEFAULT_SHARD_SIZE, export_source
from zeta.export.report import ExportReport
from zeta.export.source import Source
from zeta.quant import PackedLinear
from zeta.quant.precision import DEFAULT_GROUP_SIZE, PRECISIONS


def export_quantized(
    model: PreTrainedModel,
    tokenizer: Any,
    out: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    max_shard_size: int = DEFAULT_SHARD_SIZE,
    overwrite: bool = False,
) -> ExportReport:
    """Write a model that `zeta.quant.quantize` has quantised as a Hugging Face folder, with its very codes.

    Args:
        model: a causal language model of transformers, all of whose linear layers but the output layer are
            `PackedLinear` of one precision.
        tokenizer: a tokenizer of transformers.
        out: the folder to make.
        dtype: of the tensors that are not packed; left out, the model's.
        max_shard_size: bytes of tensors in one safetensors file.
        overwrite: replace `out`, if it is a model folder.
    Raises:
        ExportError: as `zeta.export.export`; or a layer that is not packed, or packed otherwise than others.
    """
    layers = {n: m for n, m in model.named_modules(remove_duplicate=False) if isinstance(m, PackedLinear)}
    precision, group_size = _form_of(model, layers)
    wanted = parse_dtype(dtype, "the wish") if dtype is not None else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model.config.save_pretrained(folder)
        model.generation_config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        config = read_json(folder / "config.json")
        weights = _ModuleWeights(model, layers)
        source = _ModuleSource(folder, folder, config, precision, group_size, model.dtype, weights)
        return export_source(source, out, dtype=wanted, max_shard_size=max_shard_size, overwrite=overwrite)


def _form_of(model: PreTrainedModel, layers: dict[str, PackedLinear]) -> tuple[str, int]:
    """The one precision and group size of the layers."""
    head = model.get_output_embeddings()
    if not layers:
        raise ExportError(f"{type(model).__name__} has no quantised layer: zeta.quant.quantize it first")
    first_name, first = next(iter(layers.items()))
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            raise ExportError(f"{name}: is not quantised; a folder holds all linear layers packed, or none")
        if module is head and isinstance(module, PackedLinear):
            raise ExportError(f"{name}: is quantised, but the output layer is stored as it is")
    for name, layer in layers.items():
        if (layer.precision, _group_size(layer)) != (first.precision, _group_size(first)):
            raise ExportError(f"{name}: is quantised otherwise than {first_name}: {layer}, {first}")
    return first.precision, _group_size(first)


def _group_size(layer: PackedLinear) -> int:
    return layer.group_size if PRECISIONS[layer.precision].grouped else DEFAULT_GROUP_SIZE


class _ModuleWeights:
    """A model's tensors under the names that it would have unquantised."""

    def __init__(self, model: nn.Module, layers: dict[str, PackedLinear]) -> None:
        self.layers = layers
        self._plain = {
            name: tensor
            for name, tensor in model.state_dict().items()
            if name.rpartition(".")[0] not in layers or name.endswith(".bias")
        }
        self.shapes = {name: tensor.shape for name, tensor in self._plain.items()} | {
            f"{name}.weight": torch.Size((layer.out_features, layer.in_features))
            for name, layer in layers.items()
        }

    def load(self, name: str) -> Tensor:
        layer = self.layers.get(name.removesuffix(".weight"))
        return (self._plain[name] if layer is None or name in self._plain else layer.weight).detach().cpu()


class _ModuleSource(Source):
    """Gives the codes that the model has, which are not those of rounding its weights again."""

    weights: _ModuleWeights

    def quantized(self, name: str, precision: str, group_size: int) -> tuple[Tensor, Tensor]:
        codes, scale = self.weights.layers[name.removesuffix(".weight")].unpack()
        return codes.cpu(), scale.cpu()
