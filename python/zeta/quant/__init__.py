"""Quantised layers, and the formats their weights are stored in."""

from zeta.quant.bitlinear import BitLinear
from zeta.quant.fp8_training import Float8Linear, convert_to_fp8_training
from zeta.quant.gguf import pack_gguf, unpack_gguf
from zeta.quant.pack import (
    pack_int2,
    pack_int4,
    pack_int8,
    pack_ternary,
    unpack_int2,
    unpack_int4,
    unpack_int8,
    unpack_ternary,
)
from zeta.quant.packed_layer import PackedLinear
from zeta.quant.post_training import quantize
from zeta.quant.replace import replace_linear
from zeta.quant.report import LayerReport, QuantizationReport
from zeta.quant.weight import quantize_weight

__all__ = [
    "BitLinear",
    "Float8Linear",
    "LayerReport",
    "PackedLinear",
    "QuantizationReport",
    "convert_to_fp8_training",
    "pack_gguf",
    "pack_int2",
    "pack_int4",
    "pack_int8",
    "pack_ternary",
    "quantize",
    "quantize_weight",
    "replace_linear",
    "unpack_gguf",
    "unpack_int2",
    "unpack_int4",
    "unpack_int8",
    "unpack_ternary",
]
