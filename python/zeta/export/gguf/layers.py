"""A GGUF file's linear layers as the packed forms of a Hugging Face folder can hold them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zeta.export.errors import ExportError
from zeta.export.gguf.file import GgufFile
from zeta.export.gguf.k_blocks import dequantize_q4_k, dequantize_q6_k
from zeta.export.int4 import Int4
from zeta.export.ternary import Ternary
from zeta.quant.gguf import BLOCK_TYPES, unpack_gguf

_K_BLOCKS = {"Q4_K": dequantize_q4_k, "Q6_K": dequantize_q6_k}
_TERNARY = ("TQ1_0", "TQ2_0")
_UNUSED_SCALE = 2.0**-14  # of what is 0 throughout
_LEAST_GROUP = 32


class Layer(NamedTuple):
    """Codes int8 (N, K) and scales float32 (N, blocks), none of them 0."""

    codes: Tensor
    scale: Tensor

    def shared_scale(self) -> Tensor | None:
        """The one scale (1) of all blocks that are not 0 throughout; None if there are several."""
        used = self.codes.unflatten(1, (self.scale.shape[1], -1)).any(-1)
        scales = self.scale[used].unique()
        if len(scales) > 1:
            return None
        return scales if len(scales) else torch.full((1,), _UNUSED_SCALE)

    def group_scales(self, group_size: int) -> Tensor:
        """The scales of groups, (N, K / group_size); `group_size` divides a block or is one that `fits`."""
        wanted, have = self.codes.shape[1] // group_size, self.scale.shape[1]
        if wanted >= have:
            return self.scale.repeat_interleave(wanted // have, dim=1)
        return self.scale[:, :: have // wanted].contiguous()

    def fits(self, group_size: int) -> bool:
        """Whether scales are the same within each group."""
        if self.codes.shape[1] % group_size:
            return False
        groups = self.group_scales(group_size)
        return torch.equal(
            groups.repeat_interleave(group_size, 1),
            self.scale.repeat_interleave(self.codes.shape[1] // self.scale.shape[1], 1),
        )


def read_layer(gguf: GgufFile, name: str) -> Layer:
    """The codes and scales of a tensor in blocks.

    Ternary scales are made positive; what has a scale of 0 gets codes of 0.

    Raises:
        ExportError: a scale is not finite, or a byte stands for no code.
    """
    type = gguf.tensors[name].type.name
    try:
        codes, scale = unpack_gguf(gguf.load(name), type)
    except ValueError as error:
        raise ExportError(f"{gguf.path}: {name}: {error}") from None
    if not scale.isfinite().all():
        row, block = (~scale.isfinite()).nonzero()[0].tolist()
        raise ExportError(
            f"{gguf.path}: {name}: expected finite scales, got {scale[row, block].item()} in row {row}, block {block}"
        )
    factor = scale.sign() if type in _TERNARY else (scale != 0).float()
    codes = (codes.unflatten(1, (scale.shape[1], -1)) * factor.unsqueeze(-1).to(torch.int8)).flatten(1)
    scale = torch.where(scale == 0, _UNUSED_SCALE, scale)
    return Layer(codes, scale.abs() if type in _TERNARY else scale)


def read_plain(gguf: GgufFile, name: str) -> Tensor:
    """A tensor of any type as numbers, float32 if it was in blocks.

    Raises:
        ExportError: it is not finite, or a byte stands for no code.
    """
    type, shape = gguf.tensors[name].type, gguf.tensors[name].shape
    if type.name in BLOCK_TYPES:
        layer = read_layer(gguf, name)
        blocks = layer.codes.float().unflatten(1, (layer.scale.shape[1], -1))
        return (blocks * layer.scale.unsqueeze(-1)).flatten(1).view(shape)
    tensor = gguf.load(name)
    if type.name in _K_BLOCKS:
        tensor = _K_BLOCKS[type.name](tensor.reshape(-1, type.nbytes)).view(shape)
    if not tensor.isfinite().all():
        raise ExportError(f"{gguf.path}: {name}: is not finite")
    return tensor


def choose_form(
    gguf: GgufFile, linear: dict[str, str], biased: set[str]
) -> tuple[str, Ternary | Int4 | None, set[str]]:
    """How to pack the linear layers, given the file's names of them by ours.

    Returns:
        precision, form, and which layers it packs; the others have to be floats.
    """
    ternary: set[str] = set()
    packed: dict[str, str] = {}
    group_size = 0
    for name, theirs in linear.items():
        type = gguf.tensors[theirs].type.name
        if type not in (*_TERNARY, "Q4_0"):
            continue
        packed[name] = theirs
        layer = read_layer(gguf, theirs)
        rows = layer.codes.shape[0]
        if type in _TERNARY and rows % 4 == 0 and rows >= 8 and name not in biased:
            if layer.shared_scale() is not None:
                ternary.add(name)
        group_size = _common_group(layer, group_size)
    if not packed:
        return "none", None, set()
    if len(ternary) == len(packed):
        return "1.58bit", Ternary(), ternary
    return "4bit", Int4(group_size), set(packed)


def _common_group(layer: Layer, most: int) -> int:
    """The largest group, a power of 2 from 32 on and at most `most` if that is not 0, within which scales agree."""
    best = size = _LEAST_GROUP
    while (size := size * 2) <= (most or layer.codes.shape[1]) and layer.fits(size):
        best = size
    return best


def stored_scale(scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The scale in `dtype` if that holds it exactly, else in float32."""
    narrow = scale.to(dtype)
    return narrow if torch.equal(narrow.float(), scale) else scale
