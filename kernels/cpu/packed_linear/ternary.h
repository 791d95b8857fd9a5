// Ternary weights, packed as Hugging Face's `bitnet` stores them, times int8 activations.
//
// Byte r, k of the weights holds the codes + 1 of rows r, r + N/4, r + N/2 and r + 3N/4 at column k, low bits
// first. They are read where they lie; several rows of activations share one unpacked tile on the stack. The
// integer product is exact.
//
// No threads. AVX-512 kernels re-lay 16 packed rows at a time into a buffer that they allocate once a call
// (std::bad_alloc). Calls on disjoint ranges may run side by side.
#pragma once

#include <cstdint>

namespace zeta::cpu {

// out = (q · cᵀ) · row_scale + bias
struct TernaryLinear {
  const int8_t* q;         // (m, q_stride): codes of activations, readable up to q_stride
  const int32_t* q_sum;    // (m): sum of each row's codes
  const float* row_scale;  // (m): the weight's scale divided by the row's
  const uint8_t* packed;   // (n / 4, k)
  const float* bias;       // (n), or null
  float* out;              // (m, n)
  int64_t m, n, k;         // n a multiple of 4, 0 < k < 2²³
  int64_t q_stride;        // a multiple of 64, ≥ k
};

// Computes the outputs of packed rows [begin, end), of n / 4: four columns of out each.
void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end);

namespace scalar {
void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end);
}
namespace avx2 {
void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end);
}
namespace avx512_vnni {
void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end);
}
namespace amx {
void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end);
}

}  // namespace zeta::cpu
