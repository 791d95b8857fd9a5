"""Quantised layers, and the formats their weights are stored in."""

from zeta.quant.bitlinear import BitLinear
from zeta.quant.gguf import pack_gguf, unpack_gguf
from zeta.quant.pack import pack_int4, pack_ternary, unpack_int4, unpack_ternary
from zeta.quant.replace import Replaced, replace_linear
from zeta.quant.weight import quantize_weight

__all__ = [
    "BitLinear",
    "Replaced",
    "pack_gguf",
    "pack_int4",
    "pack_ternary",
    "quantize_weight",
    "replace_linear",
    "unpack_gguf",
    "unpack_int4",
    "unpack_ternary",
]
