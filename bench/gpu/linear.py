"""Zeta's linear layers on a GPU beside torch's bf16 linear, results checked.

    tools/run python bench/gpu/linear.py

Packed layers are timed as CUDA graphs over copies of the weight that are larger than the cache together, as in
a model that is decoded layer by layer. `GB/s` counts the bytes of the weight as it lies in memory; the share
is of what a copy on this GPU moves. A training step is forward and backward, all gradients.
"""

from __future__ import annotations

import torch
from device_time import copy_bandwidth, event_seconds, graph_seconds, heading
from torch import Tensor, nn
from torch.nn.functional import linear

from zeta.quant import BitLinear, pack_int4, pack_ternary, quantize_weight

CACHES = 256 << 20  # bytes, several times the 50 MB of an H100
GROUP = 128
SHAPES = [(4096, 4096), (4096, 11008)]  # out_features, in_features


def packed(format: str, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The weight packed, its scale, and the float64 weight they stand for."""
    if format == "ternary":
        codes, scale = quantize_weight(weight, "1.58bit")
        return pack_ternary(codes.cpu()).cuda(), scale, codes.double() * scale.double()
    codes, scale = quantize_weight(weight, "4bit", GROUP)
    spread = scale.repeat_interleave(GROUP, dim=1)
    return pack_int4(codes.cpu()).cuda(), scale.bfloat16(), codes.double() * spread.double()


def copies(tensor: Tensor) -> list[Tensor]:
    return [tensor] + [tensor.clone() for _ in range(CACHES // tensor.nbytes)]


def bench_packed(format: str, shape: tuple[int, int], tokens: int, bandwidth: float) -> None:
    torch.manual_seed(0)
    n, k = shape
    x = torch.randn(tokens, k, dtype=torch.bfloat16, device="cuda")
    weights, scale, plain = packed(format, torch.randn(n, k, device="cuda") * 0.02)
    op = torch.ops.zeta.packed_linear
    expected = x.double() @ plain.T
    error = ((op(x, weights, scale, None, format, n) - expected).norm() / expected.norm()).item()
    # Ternary quantises activations to 8 bits: 1/127 of the greatest of a row, uniform, is about 1 %; else the
    # result's own rounding to bf16.
    if error > (2e-2 if format == "ternary" else 4e-3):
        raise SystemExit(f"{format} {shape} M={tokens}: relative error {error:.2g}")
    ours = graph_seconds([lambda w=w: op(x, w, scale, None, format, n) for w in copies(weights)])
    wide = plain.bfloat16()
    rival = graph_seconds([lambda w=w: linear(x, w) for w in copies(wide)])
    rate, rival_rate = weights.nbytes / ours, wide.nbytes / rival
    print(
        f"{format:8} {n}×{k:<6} M={tokens:<4} zeta {ours * 1e6:8.1f} µs {rate / 1e9:7.0f} GB/s "
        f"{rate / bandwidth:4.0%}   torch bf16 {rival * 1e6:8.1f} µs {rival_rate / 1e9:7.0f} GB/s "
        f"{rival_rate / bandwidth:4.0%}   ×{rival / ours:.2f}   error {error:.1e}",
        flush=True,
    )


def bench_training(tokens: int, width: int) -> None:
    torch.manual_seed(0)
    options = {"bias": False, "device": "cuda", "dtype": torch.bfloat16}
    x = torch.randn(tokens, width, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    grad = torch.randn_like(x)
    layers = {
        "nn.Linear": nn.Linear(width, width, **options),
        "BitLinear 1.58bit": BitLinear(width, width, precision="1.58bit", **options),
        "BitLinear 4bit": BitLinear(width, width, precision="4bit", **options),
    }
    base = None
    for name, layer in layers.items():
        seconds = event_seconds(lambda: torch.autograd.grad(layer(x), (x, layer.weight), grad))  # noqa: B023
        base = base or seconds
        tflops = 6 * tokens * width * width / seconds / 1e12
        print(
            f"step {tokens} tokens, width {width}, bf16: {name:18} {seconds * 1e3:7.3f} ms "
            f"{tflops:6.1f} TFLOP/s  {seconds / base - 1:+.0%}",
            flush=True,
        )


def main() -> None:
    bandwidth = copy_bandwidth()
    print(f"{heading()}; a copy moves {bandwidth / 1e9:.0f} GB/s, read and written")
    with torch.inference_mode():
        for format in ("int4", "ternary"):
            for shape in SHAPES:
                for tokens in (1, 4, 16, 512):
                    bench_packed(format, shape, tokens, bandwidth)
    for width in (1024, 4096):
        bench_training(8192, width)


if __name__ == "__main__":
    main()
