// y = (a · bᵀ) scaled by rows and columns, plus bias, of 8-bit a and b: the forward of a quantised layer on
// Hopper's tensor cores.
//
// a (m, k), b (n, k), y (m, n), contiguous, at multiples of 16 bytes; k is a multiple of 16, n of 8, and each
// below 2³⁰. Other sizes give cudaErrorInvalidValue, devices but of compute capability 9.0
// cudaErrorNotSupported. Device pointers; the call only enqueues
// work on `stream`, for the current device. Thread-safe.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/values.h"

namespace zeta::cuda {

struct ScaledProduct {
  const void* a;
  const void* b;
  const float* a_scale;  // (m); divides int8 sums, multiplies those of e4m3
  const float* b_scale;  // (1) of int8, (n) of e4m3
  Values bias;           // (n) or none
  Output y;
  int64_t m, n, k;
};

// int8: y = Σab · (b_scale / a_scale) + bias. The sum is exact in int32 below k = 2¹⁷; then it, the factor,
// their product and y are rounded once each, as packed_linear's ternary kernels round: the same bits.
cudaError_t scaled_product_int8(const ScaledProduct& product, cudaStream_t stream);

// e4m3: y = Σab · a_scale · b_scale + bias. The tensor cores align what they add to the largest term and keep
// some 13 bits of fraction: each of the k / 32 additions may err by 2⁻¹³ of the largest term or sum in it.
cudaError_t scaled_product_fp8(const ScaledProduct& product, cudaStream_t stream);

}  // namespace zeta::cuda
