"""Attention on CPU beside torch's: GFLOP/s of both, their ratio, and whether they agree.

    chrt -f 1 tools/run python bench/attention/cpu_attention.py [--threads 2] [--repeat 5] [--dtype float32]

Each line is the best of --repeat runs, ours and torch's taken in turn. Work counts two products forward and
five more backward, halved under causality. `error` is the largest difference between the two, over out and
all gradients.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from zeta.nn.functional import flash_attention

SHAPES = [(1, 8, 1024, 64), (1, 8, 4096, 64)]  # batch, heads, seq, head_dim


def ours(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    return flash_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), causal=causal).transpose(
        1, 2
    )


def rival(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    return scaled_dot_product_attention(q, k, v, is_causal=causal)


def step(
    attention: Callable[..., Tensor], inputs: list[Tensor], grad: Tensor | None, causal: bool
) -> list[Tensor]:
    if grad is None:
        with torch.no_grad():
            return [attention(*inputs, causal)]
    out = attention(*inputs, causal)
    return [out, *torch.autograd.grad(out, inputs, grad)]


def measure(shape: tuple[int, ...], causal: bool, backward: bool, dtype: torch.dtype, repeat: int) -> str:
    torch.manual_seed(0)
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3)]
    grad = torch.randn(shape, dtype=dtype) if backward else None
    best = {ours: float("inf"), rival: float("inf")}
    results: dict[Callable[..., Tensor], list[Tensor]] = {}
    for _ in range(repeat + 1):  # the first one warms up
        for attention in best:
            start = time.perf_counter()
            results[attention] = step(attention, inputs, grad, causal)
            best[attention] = min(best[attention], time.perf_counter() - start)
    error = max((a - b).abs().max().item() for a, b in zip(results[ours], results[rival], strict=True))
    batch, heads, seq, dim = shape
    flops = 2 * batch * heads * seq * seq * dim * (7 if backward else 2) / (2 if causal else 1)
    mine, theirs = (flops / seconds / 1e9 for seconds in best.values())
    name = f"{shape} {'causal' if causal else 'full':6} {'fwd+bwd' if backward else 'fwd':7}"
    speeds = f"zeta {mine:7.1f}  torch {theirs:7.1f} GFLOP/s  ratio {mine / theirs:5.2f}"
    return f"{name}  {speeds}  error {error:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.dtype}")
    for shape in SHAPES:
        for causal in (False, True):
            for backward in (False, True):
                print(
                    measure(shape, causal, backward, getattr(torch, arguments.dtype), arguments.repeat),
                    flush=True,
                )


if __name__ == "__main__":
    main()
