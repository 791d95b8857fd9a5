"""Attention with options on a GPU beside what torch has for each: TFLOP/s of the forward and of the backward.

    tools/run python bench/gpu/attention_options.py [--rounds 3] [--only window bias]

bf16, 16384 tokens, heads 2048 wide together, without a graph. Work counts two products forward and five backward
over every pair of tokens that may attend (masks and windows are counted, tile edges are not). Those compared take
turns, `--rounds` times; a figure is the best round's median of eight calls. `apart` is the root mean square of the
difference between the two outputs, relative to one's; what is right is the tests' matter.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from attention import TOKENS, WIDTH, random_mask, sdpa
from device_time import event_seconds, heading
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from zeta.nn.functional import flash_attention, flash_attention_varlen

Call = Callable[[Tensor, Tensor, Tensor], Tensor]  # (batch, seq, heads, dim)


class Row(NamedTuple):
    name: str
    dim: int
    seq: int
    share: float  # of all pairs, those that may attend
    ours: Call
    rival: str
    theirs: Call
    leaf: Tensor | None = None  # a bias whose gradient is asked for too


def turned(call: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Call:
    return lambda *qkv: call(*(t.transpose(1, 2) for t in qkv)).transpose(1, 2)


def torch_sdpa(backend: SDPBackend, causal: bool = False, mask: Tensor | None = None) -> Call:
    return turned(lambda q, k, v: sdpa(backend)(q, k, v, causal, mask))


def dropped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    with torch.nn.attention.sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return scaled_dot_product_attention(q, k, v, dropout_p=0.1)


def flex(seq: int, score: Callable | None = None, allowed: Callable | None = None) -> Call:
    blocks = create_block_mask(allowed, None, None, seq, seq, device="cuda") if allowed else None
    compiled = torch.compile(flex_attention)
    return turned(lambda q, k, v: compiled(q, k, v, score_mod=score, block_mask=blocks))


def zeta(**options: object) -> Call:
    return lambda q, k, v: flash_attention(q, k, v, **options)


def packed(lengths: list[int]) -> tuple[Call, Call]:
    from torch.nn.attention.varlen import varlen_attn

    starts = torch.tensor([0, *lengths], device="cuda").cumsum(0).int()
    longest = max(lengths)

    def ours(*qkv: Tensor) -> Tensor:
        q, k, v = (t.flatten(0, 1) for t in qkv)
        return flash_attention_varlen(q, k, v, starts, starts, longest, longest, causal=True)[None]

    def theirs(*qkv: Tensor) -> Tensor:
        q, k, v = (t.flatten(0, 1) for t in qkv)
        return varlen_attn(q, k, v, starts, starts, longest, longest, window_size=(-1, 0))[None]

    return ours, theirs


def rows() -> Iterator[Row]:
    cudnn, flash = SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION
    efficient = SDPBackend.EFFICIENT_ATTENTION  # cuDNN's has no gradient for a bias
    for dim, seq in ((64, 2048), (128, 2048), (128, TOKENS)):
        heads, batch, window = WIDTH // dim, TOKENS // seq, seq // 8
        share = (window + 1) / seq - (window / seq) ** 2 / 2
        within = flex(seq, allowed=lambda b, h, i, j, w=window: (j <= i) & (i - j <= w))
        yield Row(f"window {window}", dim, seq, share, zeta(causal=True, window=(window, -1)), "flex", within)
        padding = torch.ones(batch, 1, 1, seq, dtype=torch.bool, device="cuda")
        yield Row(
            "padding of none", dim, seq, 1, zeta(mask=padding), "cudnn", torch_sdpa(cudnn, mask=padding)
        )
        short = padding.clone()
        short[..., seq // 4 * 3 :] = False
        yield Row(
            "padding of a quarter", dim, seq, 0.75, zeta(mask=short), "cudnn", torch_sdpa(cudnn, mask=short)
        )
        if seq == TOKENS:
            continue
        mask = random_mask(seq)
        yield Row("random mask", dim, seq, 1, zeta(mask=mask), "cudnn", torch_sdpa(cudnn, mask=mask))
        bias = torch.randn(1, heads, seq, seq, device="cuda").bfloat16()
        yield Row("bias", dim, seq, 1, zeta(bias=bias), "cudnn", torch_sdpa(cudnn, mask=bias))
        bias = bias.clone().requires_grad_()
        yield Row(
            "bias with gradient",
            dim,
            seq,
            1,
            zeta(bias=bias),
            "efficient",
            torch_sdpa(efficient, mask=bias),
            bias,
        )
        capped = flex(seq, lambda x, b, h, i, j: 30 * torch.tanh(x / 30))
        yield Row("softcap", dim, seq, 1, zeta(softcap=30.0), "flex", capped)
        slopes = torch.rand(heads, device="cuda")
        biased = flex(seq, lambda x, b, h, i, j, s=slopes: x - s[h] * (i - j).abs())
        yield Row("ALiBi", dim, seq, 1, zeta(alibi_slopes=slopes), "flex", biased)
        yield Row("dropout", dim, seq, 1, zeta(dropout_p=0.1), "flash2", turned(dropped))
    ours, theirs = packed([seq for seq in (512, 1024, 1536, 2048, 3072, 8192)])
    share = sum(n * n for n in (512, 1024, 1536, 2048, 3072, 8192)) / TOKENS**2 / 2
    yield Row("packed causal", 128, TOKENS, share, ours, "varlen_attn", theirs)
    for causal in (True, False):
        name, share = ("causal", 0.5) if causal else ("full", 1)
        for rival, backend in (("cudnn", cudnn), ("flash2", flash)):
            yield Row(name, 256, 2048, share, zeta(causal=causal), rival, torch_sdpa(backend, causal))


def measure(row: Row, rounds: int) -> None:
    torch.manual_seed(0)
    size = (TOKENS // row.seq, row.seq, WIDTH // row.dim, row.dim)
    q, k, v, grad = (torch.randn(size, dtype=torch.bfloat16, device="cuda") for _ in range(4))
    leaves = [t.requires_grad_() for t in (q, k, v)] + ([] if row.leaf is None else [row.leaf])
    calls = {"zeta": row.ours, row.rival: row.theirs}
    outs = {name: call(q, k, v) for name, call in calls.items()}
    apart = ((outs["zeta"] - outs[row.rival]).float().norm() / outs["zeta"].float().norm()).item()

    def forward(name: str) -> Tensor:
        with torch.no_grad():
            return calls[name](q, k, v)

    def backward(name: str) -> tuple[Tensor, ...]:
        return torch.autograd.grad(outs[name], leaves, grad, retain_graph=True)

    texts = []
    for step, call, products in (("forward", forward, 2), ("backward", backward, 5)):
        flops = products * 2 * TOKENS * row.seq * WIDTH * row.share
        best = dict.fromkeys(calls, float("inf"))
        for _ in range(rounds):
            for name in calls:
                taken = event_seconds(lambda: call(name), samples=8, warm_up=0.1)  # noqa: B023
                best[name] = min(best[name], taken)
        figures = " ".join(f"{name} {flops / seconds / 1e12:4.0f}" for name, seconds in best.items())
        texts.append(f"{step} {figures} ×{best[row.rival] / best['zeta']:4.2f}")
    print(f"{row.dim:3} {row.seq:5} {row.name:22} {'   '.join(texts)}   apart {apart:.0e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[""], help="rows whose name has one of these in it")
    arguments = parser.parse_args()
    print(heading())
    for row in rows():
        if any(word in row.name for word in arguments.only):
            measure(row, arguments.rounds)


if __name__ == "__main__":
    main()
