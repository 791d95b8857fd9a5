"""Attention on a GPU beside torch's: milliseconds and TFLOP/s, forward and training step, results checked.

    tools/run python bench/gpu/attention.py

Work counts two products forward and five more backward, halved under causality. torch's own choice among its
kernels is one rival, its flash kernel another. Medians of 30 calls, in bf16. `error` is the root mean square
of the difference from float64 attention over one head, relative to the result's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from device_time import event_seconds, heading
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from zeta.nn.functional import flash_attention

SHAPES = [(32, 12, 4, 1024, 64), (4, 32, 8, 4096, 128)]  # batch, heads, kv heads, seq, head_dim
MASKED = (8, 12, 4, 1024, 64)


def zeta(q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None) -> Tensor:
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    return flash_attention(q, k, v, mask=mask, causal=causal).transpose(1, 2)


def sdpa(q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None) -> Tensor:
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=True)


def sdpa_flash(q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None) -> Tensor:
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return sdpa(q, k, v, causal, mask)


def relative_error(out: Tensor, q: Tensor, k: Tensor, v: Tensor, causal: bool, mask: Tensor | None) -> float:
    q, k, v = (t[:1, :1].detach().double() for t in (q, k, v))
    expected = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return ((out[:1, :1] - expected).norm() / expected.norm()).item()


def random_mask(seq: int) -> Tensor:
    """Nine of ten keys, and each query's own."""
    allowed = torch.rand(seq, seq, device="cuda") < 0.9
    return allowed.fill_diagonal_(True)[None, None]


def measure(shape: tuple[int, ...], causal: bool, masked: bool = False) -> None:
    batch, heads, kv_heads, seq, dim = shape
    torch.manual_seed(0)
    sizes = [(batch, seq, n, dim) for n in (heads, kv_heads, kv_heads, heads)]
    q, k, v, grad = (torch.randn(s, dtype=torch.bfloat16, device="cuda").transpose(1, 2) for s in sizes)
    for tensor in (q, k, v):
        tensor.requires_grad_()
    mask = random_mask(seq) if masked else None
    flops = 2 * batch * heads * seq * seq * dim / (2 if causal else 1)
    kind = "mask" if masked else "causal" if causal else "full"
    print(f"batch {batch}, heads {heads}/{kv_heads}, seq {seq}, head_dim {dim}, {kind}")
    rivals: list[Callable[..., Tensor]] = [zeta, sdpa] if masked else [zeta, sdpa, sdpa_flash]
    for attention in rivals:

        def forward(attention: Callable[..., Tensor] = attention) -> Tensor:
            with torch.no_grad():
                return attention(q, k, v, causal, mask)

        def step(attention: Callable[..., Tensor] = attention) -> object:
            return torch.autograd.grad(attention(q, k, v, causal, mask), (q, k, v), grad)

        error = relative_error(forward(), q, k, v, causal, mask)
        texts = []
        for name, call, products in (("forward", forward, 2), ("step", step, 7)):
            seconds = event_seconds(call)
            texts.append(f"{name} {seconds * 1e3:8.3f} ms {products * flops / seconds / 1e12:6.1f} TFLOP/s")
        print(f"  {attention.__name__:10}  {'   '.join(texts)}   error {error:.1e}", flush=True)


def main() -> None:
    print(heading())
    for shape in SHAPES:
        for causal in (True, False):
            measure(shape, causal)
    measure(MASKED, causal=False, masked=True)


if __name__ == "__main__":
    main()
