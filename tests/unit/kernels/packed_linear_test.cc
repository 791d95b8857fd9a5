// Every instruction set against the plain formula in double.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/packed_linear/int4.h"
#include "kernels/cpu/packed_linear/ternary.h"

namespace zeta::cpu {
namespace {

struct Kernels {
  const char* name;
  decltype(&scalar::ternary_linear) ternary;
  void (*int4)(const Int4Linear&, int64_t, int64_t);
  bool takes_bfloat16 = false;  // and nothing else
};

std::vector<Kernels> kernels() {
  std::vector<Kernels> all = {{"scalar", scalar::ternary_linear, scalar::int4_linear}};
  if (isa() >= Isa::kAvx2) all.push_back({"avx2", avx2::ternary_linear, avx2::int4_linear});
  if (isa() >= Isa::kAvx512) all.push_back({"avx512", avx2::ternary_linear, avx512::int4_linear});
  if (isa() >= Isa::kAvx512Vnni)
    all.push_back({"avx512vnni", avx512_vnni::ternary_linear, avx512_vnni::int4_linear});
  if (isa() >= Isa::kAvx512Bf16)
    all.push_back({"avx512bf16", avx512_vnni::ternary_linear, avx512_bf16::int4_linear, true});
  if (isa() >= Isa::kAmx) all.push_back({"amx", amx::ternary_linear, avx512_vnni::int4_linear});
  return all;
}

class PackedLinear : public testing::TestWithParam<Kernels> {};
INSTANTIATE_TEST_SUITE_P(Isa, PackedLinear, testing::ValuesIn(kernels()),
                         [](const auto& test) { return std::string(test.param.name); });

constexpr float kUntouched = -12345;

int integer(std::mt19937& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

size_t at(int64_t row, int64_t stride, int64_t column) { return static_cast<size_t>(row * stride + column); }

// One product, its exact result, and the range of packed rows that is computed. The heap buffers are as long
// as the interface says and no longer, for AddressSanitizer.
void check_ternary(const Kernels& kernel, int64_t m, int64_t n, int64_t k, int64_t begin, int64_t end,
                   bool worst) {
  std::mt19937 random(static_cast<unsigned>(m * 7919 + n * 31 + k));
  const int64_t stride = (k + 63) / 64 * 64;
  std::vector<int8_t> q(static_cast<size_t>(m * stride), 77);  // the padding may hold anything
  std::vector<int32_t> sums(static_cast<size_t>(m));
  std::vector<float> row_scale(sums.size()), bias(static_cast<size_t>(n)),
      out(static_cast<size_t>(m * n), kUntouched);
  std::vector<int> codes(static_cast<size_t>(n * k));
  std::vector<uint8_t> packed(static_cast<size_t>(n / 4 * k));
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t i = 0; i < k; ++i) {
      q[at(row, stride, i)] = static_cast<int8_t>(worst ? -128 : integer(random, -128, 127));
      sums[static_cast<size_t>(row)] += q[at(row, stride, i)];
    }
    row_scale[static_cast<size_t>(row)] = std::ldexp(1.0f, static_cast<int>(row % 5) - 9);
  }
  for (int64_t row = 0; row < n; ++row) {
    bias[static_cast<size_t>(row)] = static_cast<float>(row) * 0.5f;
    for (int64_t i = 0; i < k; ++i) {
      const int value = worst ? 1 : integer(random, -1, 1);
      codes[at(row, k, i)] = value;
      packed[at(row % (n / 4), k, i)] |= static_cast<uint8_t>((value + 1) << 2 * (row / (n / 4)));
    }
  }
  kernel.ternary(
      {q.data(), sums.data(), row_scale.data(), packed.data(), bias.data(), out.data(), m, n, k, stride},
      begin, end);
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      const int64_t packed_row = column % (n / 4);
      if (packed_row < begin || packed_row >= end) {
        ASSERT_EQ(out[at(row, n, column)], kUntouched);
        continue;
      }
      int dot = 0;
      for (int64_t i = 0; i < k; ++i) dot += codes[at(column, k, i)] * q[at(row, stride, i)];
      // Power-of-two scales and half-integral biases: every step is exact.
      ASSERT_EQ(out[at(row, n, column)], static_cast<float>(dot) * row_scale[static_cast<size_t>(row)] +
                                             bias[static_cast<size_t>(column)])
          << "m=" << row << " n=" << column << " of " << m << "x" << n << "x" << k;
    }
  }
}

TEST_P(PackedLinear, TernaryIsExact) {
  for (const int64_t m : {1, 2, 3, 4, 5, 7, 16, 32, 65}) {
    for (const int64_t k : {1, 31, 32, 33, 64, 100, 1024, 1055}) {
      check_ternary(GetParam(), m, 28, k, 0, 7, false);
      if (k <= 100) check_ternary(GetParam(), m, 132, k, 1, 33, false);  // more than a tile of packed rows
    }
  }
}

TEST_P(PackedLinear, TernaryWritesOnlyItsRange) {
  for (const int64_t m : {0, 1, 3}) {
    check_ternary(GetParam(), m, 40, 48, 3, 8, false);
    check_ternary(GetParam(), m, 40, 48, 4, 4, false);
  }
}

TEST_P(PackedLinear, TernarySumsDoNotOverflow) {
  for (const int64_t m : {1, 2, 16}) check_ternary(GetParam(), m, 4, 65536, 0, 1, true);
  for (const int64_t m : {1, 2, 6}) check_ternary(GetParam(), m, 4, 9000, 0, 1, true);
  for (const int64_t m : {1, 16}) check_ternary(GetParam(), m, 4, 200000, 0, 1, true);
}

// fp32 sums of k products of |x| ≤ X with codes stored as at most 31 and an offset of 24, scale σ: Higham's
// bound γ = (k + 16) · 2⁻²⁴ on the sum of magnitudes 55 · Σ|x| · σ.
void check_int4(const Kernels& kernel, int64_t m, int64_t n, int64_t k, int64_t group, int64_t begin,
                int64_t end, bool bfloat16) {
  std::mt19937 random(static_cast<unsigned>(m * 7919 + n * 31 + k + group));
  std::normal_distribution<float> normal;
  const int64_t groups = k / group;
  std::vector<float> x(static_cast<size_t>(m * k)), scale(static_cast<size_t>(n * groups)),
      bias(static_cast<size_t>(n)), out(static_cast<size_t>(m * n), kUntouched);
  std::vector<uint16_t> scale_bfloat16(scale.size());
  std::vector<int> codes(static_cast<size_t>(n * k));
  std::vector<uint32_t> packed(static_cast<size_t>(n * k / 8));
  std::vector<uint16_t> x_bfloat16(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = normal(random);
    if (!kernel.takes_bfloat16) continue;
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0xffff0000u;
    x[i] = std::bit_cast<float>(bits);
    x_bfloat16[i] = static_cast<uint16_t>(bits >> 16);
  }
  for (float& value : bias) value = normal(random);
  for (size_t i = 0; i < scale.size(); ++i) {
    scale_bfloat16[i] = static_cast<uint16_t>(integer(random, 0x3c00, 0x3d00));  // 2⁻⁷ … 2⁻⁵
    const uint32_t bits = uint32_t{scale_bfloat16[i]} << 16;
    std::memcpy(&scale[i], &bits, sizeof bits);
  }
  for (size_t i = 0; i < codes.size(); ++i) {
    codes[i] = integer(random, -8, 7);
    packed[i / 8] |= static_cast<uint32_t>(codes[i] + 8) << 4 * (i % 8);
  }
  kernel.int4(
      {kernel.takes_bfloat16 ? nullptr : x.data(), x_bfloat16.data(), packed.data(),
       bfloat16 ? nullptr : scale.data(), scale_bfloat16.data(), bias.data(), out.data(), m, n, k, group},
      begin, end);
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      if (column < begin || column >= end) {
        ASSERT_EQ(out[at(row, n, column)], kUntouched);
        continue;
      }
      double dot = bias[static_cast<size_t>(column)], magnitude = std::abs(dot);
      for (int64_t i = 0; i < k; ++i) {
        const double term = double{x[at(row, k, i)]} * scale[at(column, groups, i / group)];
        dot += term * codes[at(column, k, i)];
        magnitude += std::abs(term) * 55;
      }
      ASSERT_NEAR(out[at(row, n, column)], dot, magnitude * static_cast<double>(k + 16) * 0x1p-24)
          << "m=" << row << " n=" << column << " of " << m << "x" << n << "x" << k << " group " << group;
    }
  }
}

TEST_P(PackedLinear, Int4MatchesTheFormula) {
  for (const int64_t m : {1, 2, 3, 4, 5, 13, 67}) {
    for (const auto& [k, group] :
         {std::pair{8, 8}, {40, 8}, {96, 32}, {72, 24}, {256, 128}, {640, 64}, {1152, 128}, {1536, 768}}) {
      check_int4(GetParam(), m, 13, k, group, 0, 13, m % 2 == 0);
      check_int4(GetParam(), m, 45, k, group, 2, 43, m % 2 == 1);
    }
  }
}

TEST_P(PackedLinear, Int4WritesOnlyItsRange) {
  for (const int64_t m : {0, 1, 4}) {
    check_int4(GetParam(), m, 20, 64, 32, 3, 17, true);
    check_int4(GetParam(), m, 20, 64, 32, 5, 5, false);
  }
}

}  // namespace
}  // namespace zeta::cpu
