"""Speed of zeta's linear ops on CPU, beside llama.cpp and torch's float32, in one process, results checked.

    cmake --build build/release --target bench_linear_limits
    pip install --target FOLDER llama-cpp-python
    tools/run chrt -f 1 python bench/linear/linear.py [--threads N] [--ggml FOLDER/llama_cpp/lib]

Weights are taken in turn from copies larger than the caches together, as in a model that is decoded layer by
layer. Samples of the rivals alternate; a line gives the best and, in brackets, the median. `packed GB/s` counts
packed bytes only; Gop/s is 2·M·N·K; `of limit` is the best against what the cores multiply in int8 and what
memory gives, measured before by `limits`.
"""

from __future__ import annotations

import argparse
import json
import mmap
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from ggml import Ggml, Linear
from torch import Tensor, nn

from zeta.quant import BitLinear, pack_int4, pack_ternary, quantize_weight

CACHES = 128 << 20  # bytes, more than this machine's last-level cache
RIVAL = {"ternary": "TQ2_0", "int4": "Q4_0", "w4a8": "Q4_0"}
# (out_features, in_features): those of BitNet-2B-4T, and a larger square
SHAPES = ((2560, 2560), (6912, 2560), (2560, 6912), (4096, 4096))

Call = Callable[[], object]


def measure(rivals: dict[str, tuple[list[Call], int]], samples: int = 5) -> dict[str, tuple[float, float]]:
    """Best and median seconds a product; each rival's calls do so many products in all, and take turns."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for calls, _ in rivals.values():
        for call in calls:
            call()
    for _ in range(samples):
        for name, (calls, products) in rivals.items():
            calls[0]()  # until the threads of the one before have gone to sleep
            rounds, spent = 0, 0.0
            start = time.perf_counter()
            while spent < 0.04:
                for call in calls:
                    call()
                rounds += 1
                spent = time.perf_counter() - start
            times[name].append(spent / rounds / products)
    return {name: (min(all), statistics.median(all)) for name, all in times.items()}


@torch.jit.script
def products(x: Tensor, weights: list[Tensor], scale: Tensor, format: str, rows: int) -> list[Tensor]:
    """One after the other and without Python in between, as an engine does."""
    return [torch.ops.zeta.packed_linear(x, weight, scale, None, format, rows) for weight in weights]


def packed(format: str, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The weight packed, its scale, and the float32 weight they stand for."""
    if format == "ternary":
        codes, scale = quantize_weight(weight, "1.58bit")
        return pack_ternary(codes), scale, codes * scale
    codes, scale = quantize_weight(weight, "4bit", 128)
    return pack_int4(codes), scale.bfloat16(), codes * scale.repeat_interleave(128, dim=1)


def copies(tensor: Tensor, tokens: int) -> list[Tensor]:
    """Enough to fill the caches; with many tokens, which read each weight many times, a few. They lie one after the
    other, as in a model's file and in llama.cpp's buffer, and in huge pages, as zeta-server reads a file."""
    count = CACHES // tensor.nbytes + 1 if tokens == 1 else 4
    memory = mmap.mmap(-1, count * tensor.nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    found = torch.frombuffer(memory, dtype=tensor.dtype, count=count * tensor.numel()).view(
        count, *tensor.shape
    )
    found.copy_(tensor)
    return list(found)


def check(name: str, y: Tensor, expected: Tensor, limit: float) -> None:
    error = ((y.float() - expected).norm() / expected.norm()).item()
    if not error < limit:
        raise SystemExit(f"{name}: relative error {error:.2g}")


def bench_packed(
    format: str,
    shape: tuple[int, int],
    tokens: int,
    dtype: torch.dtype,
    ggml: Ggml | None,
    limits: dict,
    samples: int,
) -> None:
    torch.manual_seed(0)
    rows, columns = shape
    x = torch.randn(tokens, columns).to(dtype)
    weights, scale, plain = packed(format, torch.randn(rows, columns) * 0.02)
    op = torch.ops.zeta.packed_linear
    expected = nn.functional.linear(x.float(), plain)
    # 8-bit activations: 1 / 127 of the greatest of a row, uniform, is about 1 %. llama.cpp's 4-bit weights have
    # scales of their own, 32 to each, and are compared with the same weight as floats: 16 levels of ±4σ.
    exact = 1e-5 if dtype == torch.float32 else 4e-3
    check("zeta", op(x, weights, scale, None, format, rows), expected, exact if format == "int4" else 2e-2)
    ours = copies(weights, tokens)
    floats = [lambda w=w: nn.functional.linear(x.float(), w) for w in copies(plain, tokens)]
    rivals: dict[str, tuple[list[Call], int]] = {
        "zeta": ([lambda: products(x, ours, scale, format, rows)], len(ours)),
        "torch": (floats, len(floats)),
    }
    theirs = None
    if ggml is not None:
        theirs = Linear(ggml, RIVAL[format], plain.numpy(), x.float().numpy(), len(ours))
        rivals["llama.cpp"] = ([theirs], len(ours))
    times = measure(rivals, samples)
    if theirs is not None:
        check("llama.cpp", torch.from_numpy(theirs.output()), expected, 2e-2 if format == "ternary" else 0.15)
        theirs.free()
    best, median = times["zeta"]
    speed, read = 2 * tokens * rows * columns / best, (weights.nbytes + scale.nbytes) / best
    line = f"{format:8} {str(dtype)[6:]:8} M={tokens:<4} {rows}×{columns}"
    line += f"  {best * 1e3:7.3f} ms ({median * 1e3:.3f})  {speed / 1e9:6.1f} Gop/s  {read / 1e9:5.1f} GB/s"
    line += f"  of limit {speed / limits['int8_ops']:4.0%} {read / limits['read_bytes']:4.0%}"
    for name in ("llama.cpp", "torch"):
        if name in times:
            line += f"   {name} ×{times[name][0] / best:.2f} (×{times[name][1] / median:.2f})"
    print(line, flush=True)


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

    times = measure({name: ([lambda layer=layer: step(layer)], 1) for name, layer in layers.items()}, 15)
    plain = times["nn.Linear fp32"]
    for name, (best, median) in times.items():
        print(
            f"step  {tokens} tokens, width {width}: {name:18} {best * 1e3:6.2f} ms ({median * 1e3:.2f})"
            f"  ×{plain[0] / best:.2f} (×{plain[1] / median:.2f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--ggml", type=Path, help="folder of libggml-base.so and libggml-cpu.so")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 512])
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--training", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--limits", default="build/release/bin/bench_linear_limits")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    limits = json.loads(subprocess.check_output([arguments.limits, str(arguments.threads)]))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; limits:", end=" ")
    print(f"int8 {limits['int8_ops'] / 1e9:.0f} Gop/s, memory {limits['read_bytes'] / 1e9:.1f} GB/s")
    ggml = Ggml(arguments.ggml, arguments.threads) if arguments.ggml else None
    with torch.inference_mode():
        for format, dtype in (
            ("ternary", torch.float32),
            ("w4a8", torch.float32),
            ("int4", torch.bfloat16),
            ("int4", torch.float32),
        ):
            for tokens in arguments.tokens:
                for shape in SHAPES:
                    bench_packed(format, shape, tokens, dtype, ggml, limits, arguments.samples)
    if arguments.training:
        bench_training(512, 1024)


if __name__ == "__main__":
    main()
