"""A linear layer that keeps its weight packed: what post-training quantisation leaves behind."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zeta import _library
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
from zeta.quant.precision import BINARY, FP8, INT2, INT4, INT8, PRECISIONS, TERNARY, W4A8

_library.load()

_FORMATS = {
    BINARY: "ternary",
    TERNARY: "ternary",
    INT2: "int2",
    INT4: "int4",
    W4A8: "w4a8",
    INT8: "int8",
}
_PACK = {
    BINARY: (pack_ternary, unpack_ternary),
    TERNARY: (pack_ternary, unpack_ternary),
    INT2: (pack_int2, unpack_int2),
    INT4: (pack_int4, unpack_int4),
    W4A8: (pack_int4, unpack_int4),
    INT8: (pack_int8, unpack_int8),
    FP8: (Tensor.contiguous, Tensor.clone),
}


class PackedLinear(nn.Module):
    """A linear layer for inference on codes and scales, as `quantize` makes it.

    Buffers, in the layouts of model folders (`docs/design/foundation.md`): `weight_packed` and
    `weight_scale`. They keep their dtypes when the model is cast. Not differentiable.

    Args:
        codes: int8 `(out_features, in_features)`, or float8_e4m3fn for `"fp8"`.
        scale: as `zeta.quant.quantize_weight` returns it beside them.
        bias: `(out_features)` or None.
        precision: any of `BitLinear`'s.
        dtype: of the weight that was quantised.

    Shape:
        - input: `(*, in_features)`, float32, bfloat16 or float16
        - output: `(*, out_features)`, in the input's dtype

    Raises:
        ValueError: `"1bit"`, `"1.58bit"`, `"2bit"` or `"8bit"` with `out_features` that is no multiple of 4.
    """

    def __init__(
        self, codes: Tensor, scale: Tensor, bias: nn.Parameter | None, precision: str, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.out_features, self.in_features = codes.shape
        self.precision, self.weight_dtype = precision, dtype
        self.register_buffer("weight_packed", _PACK[precision][0](codes))
        self.register_buffer("weight_scale", scale if scale.dim() == 1 else scale.bfloat16())
        self.register_parameter("bias", bias)

    @property
    def group_size(self) -> int:
        """Input features that share a scale."""
        return self.in_features // (self.weight_scale.shape[1] if PRECISIONS[self.precision].grouped else 1)

    @property
    def weight(self) -> Tensor:
        """Ŵ, unpacked anew each time, in the dtype of the weight that was quantised."""
        return self._float_weight().to(self.weight_dtype)

    def unpack(self) -> tuple[Tensor, Tensor]:
        """Codes and float32 scale, as they were given."""
        return _PACK[self.precision][1](self.weight_packed), self.weight_scale.float()

    def forward(self, input: Tensor) -> Tensor:
        if self.precision == FP8:  # its codes and scale are what the layer finds in codes · scale again
            bias = None if self.bias is None else self.bias.float()
            return torch.ops.zeta.bitlinear.default(input, self._float_weight(), bias, FP8, self.in_features)
        return torch.ops.zeta.packed_linear.default(
            input,
            self.weight_packed,
            self.weight_scale,
            self.bias,
            _FORMATS[self.precision],
            self.out_features,
        )

    def extra_repr(self) -> str:
        group = f", group_size={self.group_size}" if PRECISIONS[self.precision].grouped else ""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"precision={self.precision!r}{group}"
        )

    def _float_weight(self) -> Tensor:
        codes, scale = self.unpack()
        if PRECISIONS[self.precision].grouped:
            return (codes.float().unflatten(1, (-1, self.group_size)) * scale[:, :, None]).flatten(1)
        return codes.float() * scale

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedLinear:
        packed, scale = self.weight_packed, self.weight_scale
        super()._apply(fn, recurse)
        if self.weight_packed.dtype != packed.dtype or self.weight_scale.dtype != scale.dtype:
            device = self.weight_packed.device  # codes are not numbers to be cast
            self.weight_packed, self.weight_scale = packed.to(device), scale.to(device)
        return self
