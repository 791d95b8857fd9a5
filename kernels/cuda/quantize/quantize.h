// Quantisers of training for CUDA, each one pass over its tensor: the arithmetic of
// docs/design/foundation.md.
//
// Tensors are contiguous, of float, half or bfloat16, evaluated in fp32, and start at multiples of 16 bytes.
// Codes, scale and the fake-quantised values `used` are written where their pointers are not null; `used` may
// have another dtype than what is quantised. Rounding is half to even. A NaN or infinity gets some code and
// shows in the scale, as on CPU.
//
// All pointers are device pointers; the calls only enqueue work on `stream`, for the current device.
// Thread-safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/values.h"

namespace zeta::cuda {

// Bytes of workspace of quantize_ternary.
constexpr size_t kTernaryWorkspace = 1024 * sizeof(double);

// β = max(mean|w|, 1e-5) rounded to `master`, the dtype that the weight has for its owner; codes =
// clamp(round(w · (1/β)), −1, 1), used = codes · β. Two passes over w, of n ≥ 1 values. The sum is in double
// and in an order that depends on n alone; it may differ from the CPU's by n · 2⁻⁵³, so β by its last bit
// where the mean lies that near to the middle of two floats.
cudaError_t quantize_ternary(const Values& w, int64_t n, Dtype master, int8_t* codes, float* scale,
                             const Output& used, void* workspace, cudaStream_t stream);

// σ = max(max|w| / 7.5, 2⁻¹²⁶) rounded to bfloat16 over each group_size values, codes = clamp(round(w / σ),
// −8, 7), used = codes · σ. group_size is a multiple of 8 and divides n; scale (n / group_size). Bit for bit
// the CPU's.
cudaError_t quantize_int4(const Values& w, int64_t n, int64_t group_size, int8_t* codes, float* scale,
                          const Output& used, cudaStream_t stream);

// s = 127 · (1 / max(max|x|, 1e-5)), codes = round(x · s), a row at a time: x and codes (rows, columns),
// scale (rows). Bit for bit the CPU's. rows < 2³¹, columns < 2³⁰.
cudaError_t quantize_activation(const Values& x, int64_t rows, int64_t columns, int8_t* codes, float* scale,
                                cudaStream_t stream);

// σ = max(max|x| / 448, 2⁻¹²⁶), rounded to bfloat16 if round_scale, codes = x / σ as e4m3, used = codes · σ,
// a row at a time, as above. A NaN becomes e4m3's. Bit for bit the CPU's.
cudaError_t quantize_fp8(const Values& x, int64_t rows, int64_t columns, bool round_scale, uint8_t* codes,
                         float* scale, const Output& used, cudaStream_t stream);

// used = codes / scale, of quantize_activation.
cudaError_t dequantize_activation(const int8_t* codes, const float* scale, int64_t rows, int64_t columns,
                                  const Output& used, cudaStream_t stream);

// used = codes · scale, of quantize_fp8.
cudaError_t dequantize_fp8(const uint8_t* codes, const float* scale, int64_t rows, int64_t columns,
                           const Output& used, cudaStream_t stream);

}  // namespace zeta::cuda
