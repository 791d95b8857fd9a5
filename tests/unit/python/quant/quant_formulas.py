"""The formulas of docs/design/foundation.md in plain torch, and the rounding of each dtype, for the tests.

Whatever device a tensor is on, the formulas are evaluated on the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

PRECISIONS = ("1bit", "1.58bit", "2bit", "4bit", "w4a8", "8bit", "fp8")
GROUP = 32
# Unit roundoff: half the distance from 1 to the next number.
ROUNDOFF = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}


def normal(
    *shape: int, seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Tensor:
    """The same numbers on every device."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator) * scale).to(device, dtype)


def exact(tensor: Tensor) -> Tensor:
    """A tensor's values in float64 on the CPU."""
    return tensor.detach().cpu().double()


def weight_codes(weight: Tensor, precision: str, group_size: int = GROUP) -> tuple[Tensor, Tensor]:
    """Codes and scale in float32, evaluated in float32."""
    if precision == "fp8":
        return fp8_codes(weight, rounded=True)
    w = weight.detach().cpu().float()
    if precision == "1.58bit":
        beta = w.double().abs().mean().float().clamp(min=1e-5).to(weight.dtype).float()
        return (w * (1 / beta)).round().clamp(-1, 1), beta.reshape(1)
    if precision == "1bit":
        alpha = w.double().mean().float()
        beta = w.double().abs().mean().float().clamp(min=1e-5).to(weight.dtype).float()
        return torch.where(w > alpha, 1.0, -1.0), beta.reshape(1)
    if precision == "2bit":
        half = (w.double().abs().mean(-1, keepdim=True).float().clamp(min=1e-5) * 0.625).bfloat16().float()
        return ((w / (2 * half)).floor().clamp(-2, 1) * 2 + 1), half
    if precision == "8bit":
        sigma = (w.abs().amax(-1, keepdim=True) / 127.5).clamp(min=2.0**-126).bfloat16().float()
        return (w / sigma).round().clamp(-128, 127), sigma
    groups = w.reshape(w.shape[0], -1, group_size)
    sigma = (groups.abs().amax(-1) / 7.5).clamp(min=2.0**-126).bfloat16().float()
    return (groups / sigma[..., None]).round().clamp(-8, 7).reshape(w.shape), sigma


def fp8_codes(values: Tensor, rounded: bool) -> tuple[Tensor, Tensor]:
    """e4m3 codes as float32, with a scale for each row that has a bfloat16's digits if `rounded`."""
    v = values.detach().cpu().float()
    scale = (v.abs().amax(-1, keepdim=True) / 448).clamp(min=2.0**-126)
    scale = scale.bfloat16().float() if rounded else scale
    # Next to ±448 a bfloat16's rounding reaches 449.75, whose nearest number is 448 as well.
    return (v / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float(), scale


def weight_used(weight: Tensor, precision: str, group_size: int = GROUP) -> Tensor:
    """Ŵ in float64, before it is rounded to any dtype."""
    codes, scale = weight_codes(weight, precision, group_size)
    if scale.dim() == 1:
        return codes.double() * scale.double()
    return codes.double() * scale.double().repeat_interleave(codes.shape[1] // scale.shape[1], dim=1)


def activation_used(x: Tensor, precision: str) -> Tensor:
    """x̂ in float64, before it is rounded to any dtype."""
    if precision == "4bit":
        return exact(x)
    if precision == "fp8":
        codes, scale = fp8_codes(x, rounded=False)
        return codes.double() * scale.double()
    values = x.detach().cpu().float()
    scale = 127 * (1 / values.abs().amax(-1, keepdim=True).clamp(min=1e-5))
    return (values * scale).round().clamp(-128, 127).double() / scale.double()


def assert_within(actual: Tensor, expected: Tensor, bound: Tensor) -> None:
    """Every |actual − expected| ≤ bound."""
    error = (exact(actual) - expected).abs()
    worst = (error / bound.clamp(min=1e-300)).max() if error.numel() else torch.tensor(0.0)
    assert worst <= 1, f"error is {worst:.3g} times the bound"
