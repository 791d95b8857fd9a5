"""FP8 training of a feed-forward block on a GPU: forward and backward, against bf16, all of them compiled.

    tools/run python bench/gpu/fp8_training.py [--tokens 8192] [--width 4096] [--inner 11008]

`BitLinear fp8` trains for serving in FP8: its gradients are bf16 products. Outputs are checked: the relative error of
y and of the gradient of x against bf16's.
"""

from __future__ import annotations

import argparse
from copy import deepcopy

import torch
from device_time import event_seconds, heading
from torch import Tensor, nn

from zeta.quant import convert_to_fp8_training, replace_linear


class FeedForward(nn.Module):
    """SwiGLU, as in Llama."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))


def step(model: nn.Module, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Forward and backward; the weights' gradients are dropped."""
    x.grad = None
    model.zero_grad(set_to_none=True)
    y = model(x)
    y.backward(grad)
    return y, x.grad


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--inner", type=int, default=11008)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    plain = FeedForward(arguments.width, arguments.inner).to("cuda", torch.bfloat16)
    x = torch.randn(
        arguments.tokens, arguments.width, device="cuda", dtype=torch.bfloat16, requires_grad=True
    )
    grad = torch.randn_like(x)
    models = {"bf16": deepcopy(plain), "BitLinear fp8": deepcopy(plain)}
    replace_linear(models["BitLinear fp8"], "fp8")
    for recipe in ("tensorwise", "rowwise", "blockwise"):
        models[recipe] = convert_to_fp8_training(deepcopy(plain), recipe)
    print(heading(), flush=True)
    flops = 18 * arguments.tokens * arguments.width * arguments.inner
    exact: tuple[Tensor, Tensor] = step(plain, x, grad)
    exact = (exact[0].detach(), exact[1].clone())
    base = 0.0
    failed = []
    for name, model in models.items():
        compiled = torch.compile(model, fullgraph=True)
        try:
            errors = [
                ((a - e).float().norm() / e.float().norm()).item()
                for a, e in zip(step(compiled, x, grad), exact, strict=True)
            ]
            seconds = event_seconds(lambda compiled=compiled: step(compiled, x, grad))
        except Exception as error:  # the other recipes' lines are worth having
            print(f"{name:14} {type(error).__name__}: {str(error)[:500]}", flush=True)
            failed.append(name)
            continue
        if name == "bf16":
            base = seconds
        print(
            f"{name:14} {seconds * 1e3:7.3f} ms  {flops / seconds / 1e12:6.0f} TFLOP/s  "
            f"{base / seconds:5.2f} × bf16  error of y {errors[0]:.4f}, of the gradient of x {errors[1]:.4f}",
            flush=True,
        )
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
