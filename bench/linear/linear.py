"""Speed of zeta's linear ops beside torch's float32 linear, in one process, results checked.

    tools/run chrt -f 1 python bench/linear/linear.py [--threads N]

Weights are taken in turn from copies larger than the caches together, as in a model that is decoded layer by
layer. Every figure is the best of five samples. `packed GB/s` counts packed bytes only; `GOP/s` is 2·M·N·K.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zeta.quant import BitLinear, pack_int4, pack_ternary, quantize_weight

CACHES = 128 << 20  # bytes, more than this machine's last-level cache


def best(calls: list[Callable[[], object]], samples: int = 5, seconds: float = 0.1) -> float:
    """Seconds a call, of the fastest sample; the calls take turns."""
    for call in calls:
        call()
    start = time.perf_counter()
    calls[0]()
    rounds = max(1, int(seconds / (time.perf_counter() - start) / len(calls)))
    fastest = float("inf")
    for _ in range(samples):
        start = time.perf_counter()
        for _ in range(rounds):
            for call in calls:
                call()
        fastest = min(fastest, (time.perf_counter() - start) / (rounds * len(calls)))
    return fastest


def packed(format: str, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The weight packed, its scale, and the float32 weight they stand for."""
    if format == "ternary":
        codes, scale = quantize_weight(weight, "1.58bit")
        return pack_ternary(codes), scale, codes * scale
    codes, scale = quantize_weight(weight, "4bit", 128)
    return pack_int4(codes), scale.bfloat16(), codes * scale.repeat_interleave(128, dim=1)


def copies(tensor: Tensor) -> list[Tensor]:
    return [tensor] + [tensor.clone() for _ in range(CACHES // tensor.nbytes)]


def bench_packed(format: str, width: int, tokens: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(tokens, width)
    weights, scale, plain = packed(format, torch.randn(width, width) * 0.02)
    op = torch.ops.zeta.packed_linear
    ours = best([lambda w=w: op(x, w, scale, None, format, width) for w in copies(weights)])
    rival = best([lambda w=w: nn.functional.linear(x, w) for w in copies(plain)])
    expected = nn.functional.linear(x, plain)
    error = (op(x, weights, scale, None, format, width) - expected).norm() / expected.norm()
    # Ternary quantises activations to 8 bits: 1 / 127 of the greatest of a row, uniform, is about 1 %.
    if error > (2e-2 if format == "ternary" else 1e-5):
        raise SystemExit(f"{format} {width}: relative error {error:.2g}")
    giga = 2 * tokens * width * width / 1e9
    print(
        f"{format:8} M={tokens:<4} {width}×{width}"
        f"  zeta {ours * 1e3:8.3f} ms {giga / ours:6.1f} GOP/s {weights.nbytes / ours / 1e9:5.1f} packed GB/s"
        f"   torch fp32 {rival * 1e3:8.3f} ms {giga / rival:6.1f} GOP/s"
        f"   ×{rival / ours:.2f}   error {error:.1e}"
    )


def bench_training(tokens: int, width: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(tokens, width, requires_grad=True)
    layers = {
        "nn.Linear fp32": nn.Linear(width, width),
        "BitLinear 1.58bit": BitLinear(width, width, precision="1.58bit"),
        "BitLinear 4bit": BitLinear(width, width, precision="4bit"),
    }

    def step(layer: nn.Module) -> None:
        layer.zero_grad()
        layer(x).sum().backward()

    times = {name: best([lambda layer=layer: step(layer)]) for name, layer in layers.items()}
    for name, seconds in times.items():
        overhead = seconds / times["nn.Linear fp32"] - 1
        print(f"step  {tokens} tokens, width {width}: {name:18} {seconds * 1e3:7.2f} ms  {overhead:+.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with torch.inference_mode():
        for format in ("ternary", "int4"):
            for width in (2560, 4096):
                for tokens in (1, 128):
                    bench_packed(format, width, tokens)
    bench_training(512, 1024)


if __name__ == "__main__":
    main()
