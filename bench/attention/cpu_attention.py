"""Attention on CPU beside torch's: GFLOP/s of both, their ratio, and whether they agree.

    tools/run chrt -f 1 python bench/attention/cpu_attention.py
        [--threads 2] [--repeat 5] [--dtype float32] [--seq 1024 2048 4096]

Each line is the best of --repeat runs, ours and torch's taken in turn, and the ratio of the medians beside that of the
best; the last line is the geometric mean of the latter. Work counts two products forward and five more backward,
halved under causality. `error` is the largest difference from float64, over out and all gradients, ours and torch's.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from zeta.nn.functional import flash_attention

BATCH, HEADS, HEAD_DIMS = 1, 8, (64, 128)


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


def formula(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)
    return scores.softmax(-1) @ v


def exact(inputs: list[Tensor], grad: Tensor | None, causal: bool) -> list[Tensor]:
    """One head in float64."""
    head = [t[:, :1].detach().double().requires_grad_() for t in inputs]
    return step(formula, head, None if grad is None else grad[:, :1].double(), causal)


def error(results: list[Tensor], want: list[Tensor]) -> float:
    return max((a[:, :1].double() - b).abs().max().item() for a, b in zip(results, want, strict=True))


def measure(
    shape: tuple[int, ...], causal: bool, backward: bool, dtype: torch.dtype, repeat: int
) -> tuple[str, float]:
    torch.manual_seed(0)
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3)]
    grad = torch.randn(shape, dtype=dtype) if backward else None
    times: dict[Callable[..., Tensor], list[float]] = {ours: [], rival: []}
    results: dict[Callable[..., Tensor], list[Tensor]] = {}
    for i in range(repeat + 1):  # the first one warms up
        for attention, seconds in times.items():
            start = time.perf_counter()
            results[attention] = step(attention, inputs, grad, causal)
            if i > 0:
                seconds.append(time.perf_counter() - start)
    batch, heads, seq, dim = shape
    flops = 2 * batch * heads * seq * seq * dim * (7 if backward else 2) / (2 if causal else 1)
    mine, theirs = (flops / min(seconds) / 1e9 for seconds in times.values())
    median = statistics.median(times[rival]) / statistics.median(times[ours])
    want = exact(inputs, grad, causal)
    name = f"{shape} {'causal' if causal else 'full':6} {'fwd+bwd' if backward else 'fwd':7}"
    speeds = (
        f"zeta {mine:6.1f}  torch {theirs:6.1f} GFLOP/s  ratio {mine / theirs:5.2f} (median {median:5.2f})"
    )
    errors = f"error {error(results[ours], want):.1e} {error(results[rival], want):.1e}"
    return f"{name}  {speeds}  {errors}", mine / theirs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--seq", type=int, nargs="+", default=[1024, 2048, 4096])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.dtype}")
    dtype, ratios = getattr(torch, arguments.dtype), []
    for shape in [(BATCH, HEADS, seq, dim) for dim in HEAD_DIMS for seq in arguments.seq]:
        for causal in (False, True):
            for backward in (False, True):
                line, ratio = measure(shape, causal, backward, dtype, arguments.repeat)
                ratios.append(ratio)
                print(line, flush=True)
    mean = math.exp(statistics.fmean(math.log(r) for r in ratios))
    print(f"geometric mean {mean:.2f}, lowest {min(ratios):.2f}")


if __name__ == "__main__":
    main()
