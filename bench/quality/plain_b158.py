"""BitNet b1.58 as published, in plain PyTorch: what `zeta.quant.BitLinear` must not be worse than.

The formulas are those of "The Era of 1-bit LLMs: Training Tips, Code and FAQ" (Microsoft, 2024): fake
quantisation of weights and activations, straight through by `detach`. Nothing here is ours.
"""

from torch import Tensor, nn
from torch.nn import functional


def activation_quant(x: Tensor) -> Tensor:
    scale = 127.0 / x.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
    return (x * scale).round().clamp(-128, 127) / scale


def weight_quant(w: Tensor) -> Tensor:
    scale = 1.0 / w.abs().mean().clamp(min=1e-5)
    return (w * scale).round().clamp(-1, 1) / scale


class PlainBitLinear(nn.Linear):
    """As published, but without the norm of its own: the model's norms stay where they are in every run."""

    def forward(self, x: Tensor) -> Tensor:
        x_quant = x + (activation_quant(x) - x).detach()
        w_quant = self.weight + (weight_quant(self.weight) - self.weight).detach()
        return functional.linear(x_quant, w_quant, self.bias)


def replace_linear(model: nn.Module) -> None:
    """Every linear layer of the decoder layers; not the head, as with `zeta.quant.replace_linear`."""
    for name, module in model.named_modules():
        if type(module) is nn.Linear and name != "lm_head":
            module.__class__ = PlainBitLinear
