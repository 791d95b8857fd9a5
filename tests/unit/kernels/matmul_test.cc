// The fp32 product against the plain formula in double.
#include "kernels/cpu/matmul/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/cpu/isa.h"

namespace zeta::cpu {
namespace {

size_t index(int64_t row, int64_t stride, int64_t column) {
  return static_cast<size_t>(row * stride + column);
}

// The heap buffers are as long as the interface says and no longer, for AddressSanitizer. Columns outside the
// range stay as they were. k roundings of products and sums: k · 2⁻²⁴ of the sum of magnitudes.
void check(int64_t m, int64_t n, int64_t k, bool transposed, int64_t begin, int64_t end) {
  std::mt19937 random(static_cast<unsigned>(m * 7919 + n * 31 + k));
  std::normal_distribution<float> normal;
  std::vector<float> a(static_cast<size_t>(m * k)), b(static_cast<size_t>(k * n)),
      c(static_cast<size_t>(m * n), -7);
  for (float& value : a) value = normal(random);
  for (float& value : b) value = normal(random);
  const int64_t row = transposed ? 1 : k, column = transposed ? m : 1;
  avx512::matmul({a.data(), row, column, b.data(), n, c.data(), m, n, k}, begin, end);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (j < begin || j >= end) {
        ASSERT_EQ(c[index(i, n, j)], -7);
        continue;
      }
      double sum = 0, magnitude = 0;
      for (int64_t l = 0; l < k; ++l) {
        const double term = double{a[static_cast<size_t>(i * row + l * column)]} * b[index(l, n, j)];
        sum += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(c[index(i, n, j)], sum, magnitude * static_cast<double>(k) * 0x1p-24)
          << i << ", " << j << " of " << m << "x" << n << "x" << k;
    }
  }
}

TEST(MatMul, IsTheProduct) {
  if (isa() < Isa::kAvx512) GTEST_SKIP() << "this CPU has no AVX-512";
  for (const bool transposed : {false, true}) {
    for (const int64_t m : {1020, 1021, 2045}) check(m, 33, 513, transposed, 0, 33);  // panels of 1020 rows
    for (const int64_t m : {1, 11, 12, 13, 40}) {
      for (const int64_t n : {1, 15, 16, 17, 32, 65}) {
        for (const int64_t k : {1, 7, 512, 513, 1100}) check(m, n, k, transposed, 0, n);
      }
    }
    check(13, 100, 40, transposed, 3, 64);
    check(13, 100, 0, transposed, 0, 100);
    check(0, 100, 40, transposed, 0, 100);
    check(5, 100, 40, transposed, 7, 7);
  }
}

}  // namespace
}  // namespace zeta::cpu
