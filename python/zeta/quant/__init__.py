"""Quantised layers, and the formats their weights are stored in."""

from zeta.quant.pack import pack_int4, pack_ternary, unpack_int4, unpack_ternary
from zeta.quant.weight import quantize_weight

__all__ = ["pack_int4", "pack_ternary", "quantize_weight", "unpack_int4", "unpack_ternary"]
