// Linear layers on weights that stay packed, y = x · Ŵᵀ + b, for CUDA.
//
// Shapes: x (rows, in_features), y (rows, out_features), both contiguous and of dtype T: float, __half or
// __nv_bfloat16; bias (out_features) fp32, or null. All pointers are device pointers; the calls only enqueue
// work on `stream`. The layouts are those of docs/design/foundation.md, read as they lie on disk.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace zeta::cuda {

// Per-row symmetric int8: q = round(x · s), s = 127 · (1 / max(max|x|, 1e-5)); also the sum of each row of q.
// q (rows, stride), zero from in_features on; stride ≥ in_features is a multiple of 4. scale (rows) = s; it
// is NaN where x has one and 0 where x has an infinity, so that no such row looks finite. sum (rows).
template <typename T>
cudaError_t quantize_rows(const T* x, int64_t rows, int64_t in_features, int64_t stride, int8_t* q,
                          float* scale, int32_t* sum, cudaStream_t stream);

// Ternary: packed (out_features / 4, in_features); scale (1) multiplies. q, x_scale and sum are those of
// quantize_rows with stride = in_features rounded up to a multiple of 4.
template <typename T>
cudaError_t ternary_linear(const int8_t* q, const float* x_scale, const int32_t* sum, const uint8_t* packed,
                           const float* scale, const float* bias, T* y, int64_t rows, int64_t in_features,
                           int64_t out_features, cudaStream_t stream);

// 4-bit: packed (out_features, in_features / 8), scale (out_features, in_features / group_size) fp32,
// group_size % 8 == 0.
template <typename T>
cudaError_t int4_linear(const T* x, const int32_t* packed, const float* scale, const float* bias, T* y,
                        int64_t rows, int64_t in_features, int64_t out_features, int64_t group_size,
                        cudaStream_t stream);

}  // namespace zeta::cuda
