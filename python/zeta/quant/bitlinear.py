"""A linear layer that trains through its own quantisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zeta import _library
from zeta.quant.precision import DEFAULT_GROUP_SIZE, PRECISIONS, TERNARY, check_features, check_precision

_library.load()


class BitLinear(nn.Linear):
    """A drop-in for `torch.nn.Linear` whose forward uses a quantised weight: quantisation-aware training.

    The parameters stay in full precision and are what the optimiser updates. The forward quantises them
    anew each time; gradients pass the quantisers straight through. `zeta.quant.quantize_weight` gives the
    codes and scales that a forward used, which is what an exported model stores.

    - `"1bit"`: weights −1 or 1, the sign of what exceeds their mean, with one scale; activations int8 with a scale
      for each token.
    - `"1.58bit"`: weights −1, 0 or 1 with one scale; activations as under `"1bit"`.
    - `"2bit"`: weights −3, −1, 1 or 3 with a scale for each output feature; activations as under `"1bit"`.
    - `"4bit"`: weights −8…7 with a scale for each `group_size` input features; activations untouched.
    - `"w4a8"`: weights as under `"4bit"`, activations as under `"1bit"`.
    - `"8bit"`: weights −128…127 with a scale for each output feature; activations as under `"1bit"`.
    - `"fp8"`: weights and activations e4m3, with a scale for each output feature and each token.

    The forward touches only the layer's own parameters, so the layer works wherever `nn.Linear` does: under
    `deepspeed.zero.Init()` and ZeRO-3, `torch.compile`, activation checkpointing and autocast. Under autocast
    the activations are cast; a float32 weight is quantised from its float32 values.

    Args:
        in_features: size of each input.
        out_features: size of each output.
        bias: whether to add a learned bias.
        precision: `"1bit"`, `"1.58bit"`, `"2bit"`, `"4bit"`, `"w4a8"`, `"8bit"` or `"fp8"`.
        group_size: input features that share a scale under `"4bit"` and `"w4a8"`; a multiple of 8 that divides
            `in_features`.
        device: of the parameters.
        dtype: of the parameters: float32, bfloat16, float16 or float64.

    Shape:
        - input: `(*, in_features)`, any leading dimensions, also none and empty ones
        - output: `(*, out_features)`, in the input's dtype
        - weight: `(out_features, in_features)`; bias: `(out_features)`

    Raises:
        ValueError: unknown precision, or a `group_size` that does not divide `in_features`.
        NotImplementedError: in use, for `torch.func.vmap`.

    References:
        Ma et al., "The Era of 1-bit LLMs", arXiv 2402.17764 (b1.58); Wang et al., "BitNet", arXiv
        2310.11453 (1bit); Bengio et al., arXiv 1308.3432 (straight
        through).

    Example:
        >>> layer = BitLinear(512, 1024, precision="4bit")
        >>> layer(torch.randn(2, 7, 512)).shape
        torch.Size([2, 7, 1024])
    """

    precision: str
    group_size: int

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        precision: str = TERNARY,
        group_size: int = DEFAULT_GROUP_SIZE,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._check(in_features, precision, group_size)
        super().__init__(in_features, out_features, bias=bias, device=device, dtype=dtype)
        self.precision = precision
        self.group_size = group_size

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, precision: str = TERNARY, group_size: int = DEFAULT_GROUP_SIZE
    ) -> BitLinear:
        """Turn a linear layer into a quantised one that owns the very same `Parameter` objects.

        Ties between weights, ZeRO-3's marks on them, optimiser state and hooks on `linear` all stay.

        Args:
            linear: of type `nn.Linear` itself; it is changed in place and returned.
            precision: as for the layer.
            group_size: as for the layer.
        Raises:
            TypeError: `linear` is of another type, whose forward may differ.
            ValueError: as for the layer.
        """
        if type(linear) is not nn.Linear:
            raise TypeError(f"expected an nn.Linear, got {type(linear).__name__}")
        cls._check(linear.in_features, precision, group_size)
        linear.__class__ = cls
        linear.precision = precision
        linear.group_size = group_size
        return linear

    def forward(self, input: Tensor) -> Tensor:
        return torch.ops.zeta.bitlinear.default(
            input, self.weight, self.bias, self.precision, self.group_size
        )

    def extra_repr(self) -> str:
        group = f", group_size={self.group_size}" if PRECISIONS[self.precision].grouped else ""
        return f"{super().extra_repr()}, precision={self.precision!r}{group}"

    @staticmethod
    def _check(in_features: int, precision: str, group_size: int) -> None:
        check_precision(precision)
        check_features(in_features, precision, group_size)
