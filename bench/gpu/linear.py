"""Zeta's linear layers on a GPU beside torch's, results checked.

    tools/run python bench/gpu/linear.py [packed] [training]

Packed layers are timed as CUDA graphs over copies of the weight that are larger than the cache together, as in
a model that is decoded layer by layer. `GB/s` counts the bytes of the weight as it lies in memory; the share
is of what a copy on this GPU moves. Rivals are torch's bf16 linear, its int4 product (`_weight_int4pack_mm`,
groups of 128 too) up to 16 tokens, and its fp8 product (`_scaled_mm`, one scale a tensor) from 16 tokens on. A
training step is forward and backward, all gradients, once as Python launches it and once as a CUDA graph; `kept`
is what the layer keeps between the two beside its weight.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from device_time import copy_bandwidth, event_seconds, graph_seconds, heading
from torch import Tensor, nn
from torch.nn.functional import linear

from zeta.quant import BitLinear, pack_int4, pack_ternary, quantize_weight

CACHES = 256 << 20  # bytes, several times the 50 MB of an H100
GROUP = 128
SHAPES = [(4096, 4096), (4096, 11008), (8192, 28672)]  # out_features, in_features
TOKENS = (1, 4, 16, 64, 512, 2048)
TRAINING_SHAPES = [(1024, 1024), (4096, 4096), (14336, 4096), (4096, 14336), (8192, 8192)]
PRECISIONS = ("1.58bit", "4bit", "fp8")


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


def torch_int4(x: Tensor, n: int, k: int) -> list[Callable[[], Tensor]]:
    """torch's product on random codes; what it computes is not checked here."""
    codes = torch.randint(0, 256, (n, k // 2), dtype=torch.uint8, device="cuda")
    scales = torch.rand(k // GROUP, n, 2, device="cuda").bfloat16()
    return [
        lambda w=w: torch._weight_int4pack_mm(x, w, GROUP, scales)
        for w in copies(torch._convert_weight_to_int4pack(codes, 8))
    ]


def torch_fp8(x: Tensor, weight: Tensor) -> list[Callable[[], Tensor]]:
    one, x8 = torch.ones((), device="cuda"), x.to(torch.float8_e4m3fn)
    return [
        lambda w=w: torch._scaled_mm(x8, w.t(), one, one, out_dtype=torch.bfloat16)
        for w in copies(weight.to(torch.float8_e4m3fn))
    ]


def bench_packed(format: str, shape: tuple[int, int], bandwidth: float) -> None:
    torch.manual_seed(0)
    n, k = shape
    weights, scale, plain = packed(format, torch.randn(n, k, device="cuda") * 0.02)
    op, all_weights, wide = torch.ops.zeta.packed_linear, copies(weights), plain.bfloat16()
    for tokens in TOKENS:
        x = torch.randn(tokens, k, dtype=torch.bfloat16, device="cuda")
        expected = x.double() @ plain.T
        error = ((op(x, weights, scale, None, format, n) - expected).norm() / expected.norm()).item()
        # Ternary quantises activations to 8 bits: 1/127 of the greatest of a row, uniform, is about 1 %; else
        # the result's own rounding to bf16, and the weight's where it is unpacked for many tokens.
        if error > (2e-2 if format == "ternary" else 4e-3):
            raise SystemExit(f"{format} {shape} M={tokens}: relative error {error:.2g}")
        ours = graph_seconds([lambda w=w: op(x, w, scale, None, format, n) for w in all_weights])  # noqa: B023
        rate = weights.nbytes / ours
        rivals = {"bf16": [lambda w=w: linear(x, w) for w in copies(wide)]}  # noqa: B023
        if tokens <= 16:
            rivals["int4"] = torch_int4(x, n, k)
        if tokens >= 16:
            rivals["fp8"] = torch_fp8(x, wide)
        line = (
            f"{format:8} {n}×{k:<6} M={tokens:<4} zeta {ours * 1e6:8.1f} µs {rate / 1e9:5.0f} GB/s "
            f"{rate / bandwidth:4.0%} {2 * tokens * n * k / ours / 1e12:6.1f} T/s error {error:.1e}"
        )
        for name, calls in rivals.items():
            theirs = graph_seconds(calls)
            line += f"   torch {name} {theirs * 1e6:8.1f} µs ×{theirs / ours:.2f}"
        print(line, flush=True)


def kept_bytes(layer: nn.Module, x: Tensor) -> int:
    """Bytes that the forward keeps for the backward, beside the layer's own."""
    own = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        layer(x)
    return sum(size for address, size in kept.items() if address not in own)


def bench_training(tokens: int, n: int, k: int) -> None:
    torch.manual_seed(0)
    options = {"bias": False, "device": "cuda", "dtype": torch.bfloat16}
    x = torch.randn(tokens, k, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    grad = torch.randn(tokens, n, device="cuda", dtype=torch.bfloat16)
    layers = {"nn.Linear": nn.Linear(k, n, **options)}
    for precision in PRECISIONS:
        layers[f"BitLinear {precision}"] = BitLinear(k, n, precision=precision, **options)
    base = None
    for name, layer in layers.items():

        def step() -> tuple[Tensor, ...]:
            return torch.autograd.grad(layer(x), (x, layer.weight), grad)  # noqa: B023

        launched, seconds = event_seconds(step), graph_seconds([step])
        base = base or (launched, seconds)
        tflops = 6 * tokens * n * k / seconds / 1e12
        print(
            f"step {tokens} tokens, {n}×{k}, bf16: {name:18} {launched * 1e3:7.3f} ms {launched / base[0] - 1:+6.1%}"
            f"   graph {seconds * 1e3:7.3f} ms {seconds / base[1] - 1:+6.1%} {tflops:4.0f} TFLOP/s"
            f"   kept {kept_bytes(layer, x) >> 20:3} MiB",
            flush=True,
        )


def main() -> None:
    parts = sys.argv[1:] or ["packed", "training"]
    bandwidth = copy_bandwidth()
    print(f"{heading()}; a copy moves {bandwidth / 1e9:.0f} GB/s, read and written")
    if "packed" in parts:
        with torch.inference_mode():
            for format in ("int4", "ternary"):
                for shape in SHAPES:
                    bench_packed(format, shape, bandwidth)
    if "training" in parts:
        for n, k in TRAINING_SHAPES:
            bench_training(8192, n, k)


if __name__ == "__main__":
    main()
