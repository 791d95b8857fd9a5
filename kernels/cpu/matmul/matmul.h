// A product of fp32 matrices with AVX-512, for the gradients of linear layers: what a BLAS does, nearer to
// the cores' limit on the shapes of training.
//
// No threads. Calls on disjoint ranges may run side by side. A call allocates room for a block of both
// operands (std::bad_alloc). Sums are in fp32.
#pragma once

#include <cstdint>

namespace zeta::cpu {

// c = a · b
struct MatMul {
  const float* a;  // (m, k): element i, j at i · a_row + j · a_column
  int64_t a_row, a_column;
  const float* b;  // (k, n), rows b_stride apart
  int64_t b_stride;
  float* c;  // (m, n), contiguous
  int64_t m, n, k;
};

namespace avx512 {
// Computes columns [begin, end) of c.
void matmul(const MatMul& args, int64_t begin, int64_t end);
}  // namespace avx512

}  // namespace zeta::cpu
