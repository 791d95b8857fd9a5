// Linear layers on weights that stay packed, y = x · Ŵᵀ + b, for CUDA.
//
// Shapes: x (rows, in_features), y (rows, out_features), both contiguous and of dtype T: float, __half or
// __nv_bfloat16; scale and bias in dtypes of their own, bias (out_features) or none. rows and features fit in
// 31 bits. All pointers are device pointers; the calls only enqueue work on `stream`, for the current device.
// The layouts are those of docs/design/foundation.md, read as they lie on disk;
// docs/design/packed_linear_cuda.md says how. Thread-safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/values.h"

namespace zeta::cuda {

// Ternary: packed (out_features / 4, in_features); scale (1) multiplies. x is quantised to int8 by rows:
// q = round(x · s), s = 127 · (1 / max(max|x|, 1e-5)); s is NaN where x has one and 0 where x has an
// infinity, so that no such row looks finite. Sums are exact.
struct TernaryLinear {
  const uint8_t* packed;
  Values scale, bias;
  int64_t rows, in_features, out_features;
};

// 4-bit: packed (out_features, in_features / 8) words, scale (out_features, in_features / group_size) of
// kFloat or kBFloat16, group_size % 8 == 0. Sums are in fp32, of products that no rounding precedes.
struct Int4Linear {
  const uint8_t* packed;
  Values scale, bias;
  int64_t rows, in_features, out_features, group_size;
};

// Rows [first, first + count) of Ŵ, rounded to T: out (count, in_features), at a multiple of 8 values.
template <typename T>
cudaError_t unpack(const Int4Linear& layer, int64_t first, int64_t count, T* out, cudaStream_t stream);

// Whether so many rows of x are sooner multiplied by an unpacked Ŵ in a library's product.
template <typename T>
cudaError_t prefers_dense(const Int4Linear& layer, const T* x, bool& dense);

// Bytes of workspace that a call takes, aligned to 128 bytes; may be 0. x's address decides with the sizes.
template <typename T>
cudaError_t workspace_bytes(const TernaryLinear& layer, const T* x, size_t& bytes);
template <typename T>
cudaError_t workspace_bytes(const Int4Linear& layer, const T* x, size_t& bytes);

template <typename T>
cudaError_t packed_linear(const TernaryLinear& layer, const T* x, T* y, void* workspace, cudaStream_t stream);
template <typename T>
cudaError_t packed_linear(const Int4Linear& layer, const T* x, T* y, void* workspace, cudaStream_t stream);

}  // namespace zeta::cuda
