"""Attention on a GPU beside torch's: TFLOP/s of the forward and of the backward, results checked.

    tools/run python bench/gpu/attention.py [--rounds 4] [--warm-up 0.2] [--head-dim 64]

Work counts two products forward and five backward, halved under causality. All have 16384 tokens and heads 2048 wide
together, in bf16, without a graph, and our own kernels everywhere. Those compared take turns, `--rounds` times; a
figure is the best round's median of eight calls after `--warm-up` seconds of them, a ratio is to cuDNN's, of the best
rounds and of the middle ones. `error` is the root mean square of the difference from float64 over one head, relative
to the result's. FlashAttention-4 takes part where it is installed (the packages flash-attn-4 and
nvidia-cutlass-dsl[cu13]), and our kernels for Ampere do on Hopper, which has others.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product

import torch
from device_time import event_seconds, heading
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from zeta.nn.functional import flash_attention

try:
    from flash_attn.cute import flash_attn_func
except ImportError:
    flash_attn_func = None

os.environ["ZETA_ATTENTION_DISPATCH"] = "own"  # what is to be compared with cuDNN is not cuDNN

TOKENS, WIDTH = 16384, 2048
HEAD_DIMS, LENGTHS = (64, 128), (512, 2048, TOKENS)
MASKED = (64, 1024)

Attention = Callable[[Tensor, Tensor, Tensor, bool, Tensor | None], Tensor]


def zeta(q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None) -> Tensor:
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    return flash_attention(q, k, v, mask=mask, causal=causal).transpose(1, 2)


def sdpa(backend: SDPBackend) -> Attention:
    def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None) -> Tensor:
        with sdpa_kernel(backend):
            return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)

    return attention


def flash4(q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None) -> Tensor:
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    out: Tensor = flash_attn_func(q, k, v, causal=causal)[0]
    return out.transpose(1, 2)


RIVALS: dict[str, Attention] = {
    "cudnn": sdpa(SDPBackend.CUDNN_ATTENTION),
    "flash2": sdpa(SDPBackend.FLASH_ATTENTION),
    **({"flash4": flash4} if flash_attn_func else {}),
    "zeta": zeta,
    **({"ampere": zeta} if torch.cuda.get_device_capability() == (9, 0) else {}),
}


@contextmanager
def kernels_of(name: str) -> Iterator[None]:
    """Ampere's for the one of that name; the variable is read at every call."""
    if name == "ampere":
        os.environ["ZETA_CUDA_ISA"] = "sm_80"
    yield
    os.environ.pop("ZETA_CUDA_ISA", None)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found[:1, :1] - expected).norm() / expected.norm()).item()


def one_head(tensors: list[Tensor], causal: bool, mask: Tensor | None) -> list[Tensor]:
    """Output and gradients of the first head, in float64."""
    q, k, v, grad = (t[:1, :1].detach().double() for t in tensors)
    for leaf in (q, k, v):
        leaf.requires_grad_()
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return [out.detach(), *torch.autograd.grad(out, (q, k, v), grad)]


def random_mask(seq: int) -> Tensor:
    """Nine of ten keys, and each query's own."""
    allowed = torch.rand(seq, seq, device="cuda") < 0.9
    return allowed.fill_diagonal_(True)[None, None]


def report(name: str, flops: float, rounds: dict[str, list[float]], errors: dict[str, float]) -> None:
    best, middle = (
        {n: sorted(t)[i] for n, t in rounds.items()} for i in (0, len(rounds["cudnn"]) // 2)
    )  # fmt: skip
    texts = [
        f"{n} {flops / best[n] / 1e12:4.0f} ×{best['cudnn'] / best[n]:4.2f} ×{middle['cudnn'] / middle[n]:4.2f} "
        f"error {errors[n]:.0e}"
        for n in rounds
    ]
    print(f"{name:32} " + "   ".join(texts), flush=True)


def measure(
    dim: int, seq: int, causal: bool, rounds: int, warm_up: float, mask: Tensor | None = None
) -> None:
    torch.manual_seed(0)
    size = (TOKENS // seq, seq, WIDTH // dim, dim)
    tensors = [torch.randn(size, dtype=torch.bfloat16, device="cuda").transpose(1, 2) for _ in range(4)]
    q, k, v, grad = tensors
    leaves = [t.requires_grad_() for t in (q, k, v)]
    exact = one_head(tensors, causal, mask) if seq < TOKENS else None
    rivals = {n: a for n, a in RIVALS.items() if mask is None or not n.startswith("flash")}
    if mask is not None:
        rivals.pop("ampere", None)  # has no masks

    def forward(name: str) -> Tensor:
        with torch.no_grad(), kernels_of(name):
            return rivals[name](q, k, v, causal, mask)

    outs = {}
    for name, attention in rivals.items():
        with kernels_of(name):
            outs[name] = attention(q, k, v, causal, mask)

    def backward(name: str) -> tuple[Tensor, ...]:
        with kernels_of(name):
            return torch.autograd.grad(outs[name], leaves, grad, retain_graph=True)

    errors = {"forward": dict.fromkeys(rivals, float("nan")), "backward": dict.fromkeys(rivals, float("nan"))}
    if exact:
        for name in rivals:
            errors["forward"][name] = relative_error(forward(name), exact[0])
            pairs = zip(backward(name), exact[1:], strict=True)
            errors["backward"][name] = max(relative_error(found, expected) for found, expected in pairs)
    kind = "mask" if mask is not None else "causal" if causal else "full"
    for step, call, products in (("forward", forward, 2), ("backward", backward, 5)):
        times: dict[str, list[float]] = {name: [] for name in rivals}
        for _ in range(rounds):
            for name, taken in times.items():
                taken.append(event_seconds(lambda: call(name), samples=8, warm_up=warm_up))  # noqa: B023
        flops = products * 2 * TOKENS * seq * WIDTH / (2 if causal else 1)
        report(f"{step:8} head_dim {dim:3} seq {seq:5} {kind}", flops, times, errors[step])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--warm-up", type=float, default=0.2)
    parser.add_argument("--head-dim", type=int, nargs="*", default=HEAD_DIMS)
    args = parser.parse_args()
    print(heading())
    for dim, seq, causal in product(args.head_dim, LENGTHS, (True, False)):
        measure(dim, seq, causal, args.rounds, args.warm_up)
    if MASKED[0] in args.head_dim:
        measure(*MASKED, False, args.rounds, args.warm_up, random_mask(MASKED[1]))


if __name__ == "__main__":
    main()
