"""A training step of a transformer on a GPU with our attention, cuDNN's and the naive formula: time and memory.

    tools/run python bench/gpu/training_attention.py [--sequences 2048 4096] [--rounds 4] [--head-dim 64]

12 blocks of width 1024 (norm, attention, norm, MLP of 4096), causal, bf16, 16384 tokens, forward and backward of all
gradients without an optimiser, as Python launches it. The three share weights and take turns; a time is the best
round's median of three steps, memory the most that a step had allocated, weights and their gradients included. Losses
are printed, as they must agree.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from device_time import event_seconds, heading
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import gelu, scaled_dot_product_attention

from zeta.nn.functional import flash_attention

TOKENS, BLOCKS, WIDTH = 16384, 12, 1024

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]  # (batch, seq, heads, dim)


def zeta(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return flash_attention(q, k, v, causal=True)


def cudnn(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def naive(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    scores = q @ k.mT * q.shape[-1] ** -0.5
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return (scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v).transpose(1, 2)


class Block(nn.Module):
    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(-1, (3, -1, self.head_dim)).unbind(2)
        x = x + self.out(attention(q, k, v).flatten(2))
        return x + self.down(gelu(self.up(self.between(x))))


def measure(seq: int, rounds: int, head_dim: int) -> None:
    torch.manual_seed(0)
    with torch.device("cuda"):
        blocks = nn.ModuleList(Block(head_dim) for _ in range(BLOCKS)).bfloat16()
        x = torch.randn(TOKENS // seq, seq, WIDTH, dtype=torch.bfloat16)

    def step(attention: Attention) -> Tensor:
        blocks.zero_grad(set_to_none=True)
        y = x
        for block in blocks:
            y = block(y, attention)
        loss = y.float().square().mean()
        loss.backward()
        return loss.detach()

    rivals = {"zeta": zeta, "cudnn": cudnn, "naive": naive}
    times: dict[str, list[float]] = {name: [] for name in rivals}
    memory, losses = {}, {}
    for name, attention in rivals.items():
        losses[name] = step(attention).item()
        torch.cuda.reset_peak_memory_stats()
        step(attention)
        memory[name] = torch.cuda.max_memory_allocated() / 2**30
    for _ in range(rounds):
        for name, attention in rivals.items():
            times[name].append(event_seconds(lambda: step(attention), samples=3, warm_up=0.1))  # noqa: B023
    for name in rivals:
        best, least = min(times[name]), memory[name]
        print(
            f"head_dim {head_dim} seq {seq:5} {name:6} {best * 1e3:7.1f} ms (×{min(times['naive']) / best:4.2f} naive, "
            f"×{min(times['cudnn']) / best:5.3f} cudnn)   {least:5.2f} GiB ({least / memory['naive'] - 1:+.0%})   "
            f"loss {losses[name]:.5f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--head-dim", type=int, default=64)
    arguments = parser.parse_args()
    print(heading())
    for seq in arguments.sequences:
        measure(seq, arguments.rounds, arguments.head_dim)


if __name__ == "__main__":
    main()
