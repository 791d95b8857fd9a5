"""Attention in float8 on a Hopper GPU beside bfloat16: TFLOP/s of the forward, results checked.

    tools/run python bench/gpu/attention_fp8.py [--rounds 4]

Work counts two products, halved under causality. All have 16384 tokens and heads 2048 wide together, without a graph.
`zeta fp8` is `flash_attention` of float8 operands, which arranges values first; `quantised` has `quantize_attention` of
bfloat16 operands before it. Those compared take turns, `--rounds` times; a figure is the best round's median of eight
calls, a ratio is to cuDNN's bfloat16, of the best rounds and of the middle ones. `error` is the root mean square of the
difference from float64 over one head, relative to the result's, of the dequantised operands for `zeta fp8` and of the
bfloat16 ones for all others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from device_time import event_seconds, heading
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from zeta.nn.functional import flash_attention
from zeta.quant import QuantizedAttention, quantize_attention

TOKENS, WIDTH = 16384, 2048
SHAPES = [(dim, seq) for dim in (64, 128) for seq in (512, 2048, TOKENS)]


def cudnn(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2)


def calls(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> dict[str, Callable[[], Tensor]]:
    codes = quantize_attention(q, k, v)
    return {
        "cudnn": lambda: cudnn(q, k, v, causal),
        "zeta": lambda: flash_attention(q, k, v, causal=causal),
        "zeta fp8": lambda: flash_attention(**codes._asdict(), causal=causal),
        "quantised": lambda: flash_attention(**quantize_attention(q, k, v)._asdict(), causal=causal),
    }


def of_head(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """The first head, in float64."""
    q, k, v = (t[:1, :, :1].double().transpose(1, 2) for t in (q, k, v))
    return scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2)


def dequantized(codes: QuantizedAttention) -> list[Tensor]:
    pairs = zip(codes[:3], codes[3:], strict=True)
    return [t[:1, :, :1].double() * descale[:1, None, :1, None] for t, descale in pairs]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found[:1, :, :1] - expected).norm() / expected.norm()).item()


def measure(dim: int, seq: int, causal: bool, rounds: int) -> None:
    torch.manual_seed(0)
    size = (TOKENS // seq, seq, WIDTH // dim, dim)
    q, k, v = (torch.randn(size, dtype=torch.bfloat16, device="cuda") for _ in range(3))
    rivals = calls(q, k, v, causal)
    errors = dict.fromkeys(rivals, float("nan"))
    if seq < TOKENS:
        exact, codes = of_head(q, k, v, causal), dequantized(quantize_attention(q, k, v))
        for name, call in rivals.items():
            expected = of_head(*codes, causal) if name == "zeta fp8" else exact
            errors[name] = relative_error(call(), expected)
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, taken in times.items():
            taken.append(event_seconds(rivals[name], samples=8, warm_up=0.1))
    flops = 4 * TOKENS * seq * WIDTH / (2 if causal else 1)
    best, middle = ({n: sorted(t)[i] for n, t in times.items()} for i in (0, rounds // 2))
    texts = [
        f"{n} {flops / best[n] / 1e12:5.0f} ×{best['cudnn'] / best[n]:4.2f} ×{middle['cudnn'] / middle[n]:4.2f} "
        f"error {errors[n]:.1e}"
        for n in rivals
    ]
    print(f"head_dim {dim:3} seq {seq:5} {'causal' if causal else 'full':6} " + "   ".join(texts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    print(heading())
    for dim, seq in SHAPES:
        for causal in (True, False):
            measure(dim, seq, causal, rounds)


if __name__ == "__main__":
    main()
