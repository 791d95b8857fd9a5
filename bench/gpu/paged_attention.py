"""Decoding from a paged cache on a GPU: time of one query for each sequence, beside flashinfer where it is installed.

    tools/run python bench/gpu/paged_attention.py [--float8]

bf16, head_dim 128, pages in random order. A figure is the median of replays of a CUDA graph that goes through caches
of 400 MB or more, so that none is read from the L2 cache; flashinfer's plan() is outside. GB/s counts keys and values
once, the share is of a device-to-device copy's, read and written. `error` is the largest difference from float64 over
two sequences. flashinfer's two kernels are its CUDA-core and its tensor-core one (FlashAttention-2's scheme).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from device_time import copy_bandwidth, graph_seconds, heading
from torch import Tensor

from zeta.nn.functional import paged_attention

try:
    import flashinfer
except ImportError:
    flashinfer = None

DIM, COLD = 128, 400 << 20
# sequences, keys, page size, heads, kv heads
SHAPES = [
    *((64, 8192, page, heads, kv) for page in (16, 64) for heads, kv in ((64, 8), (8, 1))),
    *((64, keys, 16, heads, kv) for heads, kv in ((64, 8), (8, 1)) for keys in (128, 256, 512, 1024)),
    (1, 8192, 16, 64, 8),
    (8, 32768, 64, 8, 1),
]


class Problem:
    def __init__(
        self, sequences: int, keys: int, page: int, heads: int, kv_heads: int, dtype: torch.dtype
    ) -> None:
        self.page, self.keys, self.heads, self.kv_heads = page, keys, heads, kv_heads
        each = -(-keys // page)
        size = (sequences * each, page, kv_heads, DIM)
        self.bytes = 2 * sequences * keys * kv_heads * DIM * dtype.itemsize
        copies = min(-(-COLD // self.bytes), 100)
        self.caches = [[torch.randn(size, device="cuda").to(dtype) for _ in "kv"] for _ in range(copies)]
        self.q = torch.randn(sequences, heads, DIM, device="cuda", dtype=torch.bfloat16)
        self.table = torch.randperm(size[0], device="cuda", dtype=torch.int32).view(sequences, each)
        self.lens = torch.full((sequences,), keys, device="cuda", dtype=torch.int32)

    def zeta(self, k: Tensor, v: Tensor) -> Tensor:
        return paged_attention(self.q[:, None], k, v, self.table, self.lens, validate=False)[:, 0]

    def flashinfer(self, tensor_cores: bool) -> Callable[[Tensor, Tensor], Tensor]:
        space = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
        wrapper = flashinfer.decode.BatchDecodeWithPagedKVCacheWrapper(
            space, "NHD", use_tensor_cores=tensor_cores, backend="fa2"
        )
        sequences, each = self.table.shape
        starts = torch.arange(sequences + 1, dtype=torch.int32, device="cuda") * each
        last = torch.full((sequences,), (self.keys - 1) % self.page + 1, dtype=torch.int32, device="cuda")
        wrapper.plan(
            starts, self.table.flatten(), last, self.heads, self.kv_heads, DIM, self.page,
            q_data_type=torch.bfloat16, kv_data_type=torch.bfloat16,
        )  # fmt: skip
        return lambda k, v: wrapper.run(self.q, (k, v))

    def error(self, out: Tensor) -> float:
        k, v = self.caches[0]
        worst = 0.0
        for b in (0, len(self.lens) - 1):
            keys, values = (t[self.table[b]].flatten(0, 1)[: self.keys].double() for t in (k, v))
            q = self.q[b].double().view(self.kv_heads, -1, DIM)
            p = torch.softmax(torch.einsum("hgd,khd->hgk", q, keys) * DIM**-0.5, -1)
            want = torch.einsum("hgk,khd->hgd", p, values).flatten(0, 1)
            worst = max(worst, (out[b] - want).abs().max().item())
        return worst

    def measure(self, call: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
        return graph_seconds([lambda c=c: call(*c) for c in self.caches]), self.error(call(*self.caches[0]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--float8", action="store_true", help="a float8 cache, without flashinfer")
    dtype = torch.float8_e4m3fn if parser.parse_args().float8 else torch.bfloat16
    torch.manual_seed(0)
    copy = copy_bandwidth()
    print(f"{heading()}, copy {copy / 1e9:.0f} GB/s")
    for shape in SHAPES:
        problem = Problem(*shape, dtype)
        seconds, error = problem.measure(problem.zeta)
        rate = problem.bytes / seconds
        text = "{:3} × {:5} page {:2} heads {:2}:{}".format(*shape)
        text += f"  zeta {seconds * 1e6:6.1f} µs {rate / 1e9:5.0f} GB/s {rate / copy:4.0%} error {error:.0e}"
        if flashinfer and dtype == torch.bfloat16:
            for name, tensor_cores in (("cuda cores", False), ("tensor cores", True)):
                theirs, error = problem.measure(problem.flashinfer(tensor_cores))
                text += f"  {name} {theirs * 1e6:6.1f} µs ×{theirs / seconds:4.2f} error {error:.0e}"
        print(text, flush=True)


if __name__ == "__main__":
    main()
