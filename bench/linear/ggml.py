"""llama.cpp's matrix product on the weights of one layer: the rival of linear.py, through ggml's C API.

The libraries are those of llama-cpp-python (its `lib` folder), or of any build of ggml.
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

TYPES = {"Q4_0": 2, "TQ2_0": 35}
F32 = 0


_Log = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)
_silent = _Log(lambda level, text, data: None)


class _Context(ctypes.Structure):
    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


class Ggml:
    """One backend with a number of threads."""

    def __init__(self, folder: Path, threads: int) -> None:
        base = ctypes.CDLL(str(folder / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
        cpu = ctypes.CDLL(str(folder / "libggml-cpu.so"), mode=ctypes.RTLD_GLOBAL)
        pointer = c_void_p
        for library, name, result, arguments in (
            (cpu, "ggml_backend_cpu_init", pointer, []),
            (cpu, "ggml_backend_cpu_reg", pointer, []),
            (cpu, "ggml_backend_cpu_set_n_threads", None, [pointer, c_int]),
            (base, "ggml_backend_cpu_buffer_type", pointer, []),
            (base, "ggml_backend_reg_get_proc_address", pointer, [pointer, c_char_p]),
            (base, "ggml_backend_reg_dev_get", pointer, [pointer, c_size_t]),
            (base, "ggml_backend_alloc_ctx_tensors_from_buft", pointer, [pointer, pointer]),
            (base, "ggml_backend_buffer_free", None, [pointer]),
            (base, "ggml_backend_tensor_set", None, [pointer, pointer, c_size_t, c_size_t]),
            (base, "ggml_backend_tensor_get", None, [pointer, pointer, c_size_t, c_size_t]),
            (base, "ggml_backend_graph_compute", c_int, [pointer, pointer]),
            (base, "ggml_log_set", None, [_Log, pointer]),
            (base, "ggml_init", pointer, [_Context]),
            (base, "ggml_free", None, [pointer]),
            (base, "ggml_new_tensor_2d", pointer, [pointer, c_int, c_int64, c_int64]),
            (base, "ggml_mul_mat", pointer, [pointer, pointer, pointer]),
            (base, "ggml_new_graph_custom", pointer, [pointer, c_size_t, c_bool]),
            (base, "ggml_build_forward_expand", None, [pointer, pointer]),
            (base, "ggml_row_size", c_size_t, [c_int, c_int64]),
            (
                base,
                "ggml_quantize_chunk",
                c_size_t,
                [c_int, pointer, pointer, c_int64, c_int64, c_int64, pointer],
            ),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("ggml_"), function)
        self.log_set(_silent, None)
        self.backend = self.backend_cpu_init()
        self.backend_cpu_set_n_threads(self.backend, threads)

    def weight_buffers(self) -> list[int]:
        """The buffer types that llama.cpp tries for weights: those that re-lay them first."""
        registry = self.backend_cpu_reg()
        address = self.backend_reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
        found: list[int] = []
        if address:
            extra = ctypes.CFUNCTYPE(ctypes.POINTER(c_void_p), c_void_p)(address)
            types = extra(self.backend_reg_dev_get(registry, 0))
            while types and types[len(found)]:
                found.append(types[len(found)])
        return found


class Linear:
    """`copies` products of as many copies of a weight (N, K) with the same x (M, K), in one graph."""

    def __init__(self, ggml: Ggml, type: str, weight: np.ndarray, x: np.ndarray, copies: int) -> None:
        self.ggml, (n, k), m = ggml, weight.shape, x.shape[0]
        packed = np.empty(ggml.row_size(TYPES[type], k) * n, np.uint8)
        ggml.quantize_chunk(TYPES[type], weight.ctypes.data, packed.ctypes.data, 0, n, k, None)
        # As llama.cpp does: Q4_0 is re-laid where a kernel wants that, TQ2_0 is read as it is.
        relaid = ggml.weight_buffers() if type == "Q4_0" else []
        self.buffers = []
        weights = self._context(copies)
        tensors = [ggml.new_tensor_2d(weights, TYPES[type], k, n) for _ in range(copies)]
        plain = ggml.backend_cpu_buffer_type()
        self.buffers.append(ggml.backend_alloc_ctx_tensors_from_buft(weights, relaid[0] if relaid else plain))
        for tensor in tensors:
            ggml.backend_tensor_set(tensor, packed.ctypes.data, 0, packed.nbytes)
        work = self._context(4 * copies)
        activation = ggml.new_tensor_2d(work, F32, k, m)
        results = [ggml.mul_mat(work, tensor, activation) for tensor in tensors]
        self.graph = ggml.new_graph_custom(work, 4 * copies + 16, False)
        for result in results:
            ggml.build_forward_expand(self.graph, result)
        self.buffers.append(ggml.backend_alloc_ctx_tensors_from_buft(work, plain))
        ggml.backend_tensor_set(activation, x.ctypes.data, 0, x.nbytes)
        self.contexts, self.result, self.shape, self.nbytes = (
            (weights, work),
            results[-1],
            (m, n),
            packed.nbytes,
        )

    def _context(self, tensors: int) -> int:
        return self.ggml.init(_Context(tensors * 1024 + (1 << 20), None, True))

    def __call__(self) -> None:
        if self.ggml.backend_graph_compute(self.ggml.backend, self.graph) != 0:
            raise SystemExit("ggml failed")

    def output(self) -> np.ndarray:
        y = np.empty(self.shape, np.float32)
        self.ggml.backend_tensor_get(self.result, y.ctypes.data, 0, y.nbytes)
        return y

    def free(self) -> None:
        for buffer in self.buffers:
            self.ggml.backend_buffer_free(buffer)
        for context in self.contexts:
            self.ggml.free(context)
