// 4-bit weights times activations in integers, of eight bits and of three times eight, at every instruction
// set.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/packed_linear/int4.h"

namespace zeta::cpu {
namespace {

struct Kernels {
  const char* name;
  void (*floating)(const Int4Linear&, int64_t, int64_t);
  void (*int8)(const Int4Int8Linear&, int64_t, int64_t);
};

std::vector<Kernels> kernels() {
  std::vector<Kernels> all = {{"scalar", scalar::int4_linear, scalar::int4_linear}};
  if (isa() >= Isa::kAvx2) all.push_back({"avx2", avx2::int4_linear, avx2::int4_linear});
  if (isa() >= Isa::kAvx512) all.push_back({"avx512", avx512::int4_linear, avx2::int4_linear});
  if (isa() >= Isa::kAvx512Vnni)
    all.push_back({"avx512vnni", avx512_vnni::int4_linear, avx512_vnni::int4_linear});
  return all;
}

class PackedLinearInt8 : public testing::TestWithParam<Kernels> {};
INSTANTIATE_TEST_SUITE_P(Isa, PackedLinearInt8, testing::ValuesIn(kernels()),
                         [](const auto& test) { return std::string(test.param.name); });

constexpr float kUntouched = -12345;

int integer(std::mt19937& random, int low, int high) {
  return std::uniform_int_distribution<int>(low, high)(random);
}

size_t at(int64_t row, int64_t stride, int64_t column) { return static_cast<size_t>(row * stride + column); }

struct Shape {
  int64_t m, n, k, group, begin, end;
};

// Scales are powers of two, and sums of at most 1536 products of at most 8 · 128 · 4, in halves, are numbers
// of 24 bits: every order of additions gives the same. Buffers are as long as the interface says and no
// longer.
void check_exact(const Kernels& kernel, const Shape& shape, bool bfloat16, bool worst) {
  const auto [m, n, k, group, begin, end] = shape;
  std::mt19937 random(static_cast<unsigned>(m * 7919 + n * 31 + k + group));
  const int64_t stride = (k + 63) / 64 * 64, groups = k / group;
  std::vector<int8_t> q(static_cast<size_t>(m * stride), 77);  // the padding may hold anything
  std::vector<float> row_scale(static_cast<size_t>(m)), bias(static_cast<size_t>(n)),
      scale(static_cast<size_t>(n * groups)), out(static_cast<size_t>(m * n), kUntouched);
  std::vector<uint16_t> scale_bfloat16(scale.size());
  std::vector<int> codes(static_cast<size_t>(n * k));
  std::vector<uint32_t> packed(static_cast<size_t>(n * k / 8));
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t i = 0; i < k; ++i)
      q[at(row, stride, i)] = static_cast<int8_t>(worst ? -128 : integer(random, -128, 127));
    row_scale[static_cast<size_t>(row)] = std::ldexp(1.0f, static_cast<int>(row % 5) - 9);
  }
  for (size_t row = 0; row < bias.size(); ++row) bias[row] = static_cast<float>(row) * 0.5f;
  for (size_t i = 0; i < scale.size(); ++i) {
    scale[i] = std::ldexp(1.0f, worst ? 2 : integer(random, -1, 2));
    scale_bfloat16[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(scale[i]) >> 16);
  }
  for (size_t i = 0; i < codes.size(); ++i) {
    codes[i] = worst ? -8 : integer(random, -8, 7);
    packed[i / 8] |= static_cast<uint32_t>(codes[i] + 8) << 4 * (i % 8);
  }
  kernel.int8({q.data(), row_scale.data(), packed.data(), bfloat16 ? nullptr : scale.data(),
               scale_bfloat16.data(), bias.data(), out.data(), m, n, k, stride, group},
              begin, end);
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      if (column < begin || column >= end) {
        ASSERT_EQ(out[at(row, n, column)], kUntouched);
        continue;
      }
      double dot = 0;
      for (int64_t i = 0; i < k; ++i) {
        dot += static_cast<double>(scale[at(column, groups, i / group)]) *
               (codes[at(column, k, i)] * q[at(row, stride, i)]);
      }
      ASSERT_EQ(out[at(row, n, column)], static_cast<float>(dot) * row_scale[static_cast<size_t>(row)] +
                                             bias[static_cast<size_t>(column)])
          << "m=" << row << " n=" << column << " of " << m << "x" << n << "x" << k << " group " << group;
    }
  }
}

TEST_P(PackedLinearInt8, IsExact) {
  for (const int64_t m : {1, 2, 3, 4, 5, 13, 67}) {
    for (const auto& [k, group] :
         {std::pair{8, 8}, {40, 8}, {96, 32}, {72, 24}, {256, 128}, {640, 64}, {1152, 128}, {1536, 768}}) {
      check_exact(GetParam(), {m, 13, k, group, 0, 13}, m % 2 == 0, false);
      check_exact(GetParam(), {m, 45, k, group, 2, 43}, m % 2 == 1, false);
    }
    check_exact(GetParam(), {m, 33, 1536, 1536, 0, 33}, true, true);
  }
}

TEST_P(PackedLinearInt8, WritesOnlyItsRange) {
  for (const int64_t m : {0, 1, 4, 6}) {
    check_exact(GetParam(), {m, 20, 64, 32, 3, 17}, true, false);
    check_exact(GetParam(), {m, 20, 64, 32, 5, 5}, false, false);
  }
}

// An activation may count as much as the greatest of its word: (k + 19) · 2⁻²⁴ of Σ over words of 8 · 55 ·
// max|x| · σ (packed_linear_test.cc has the bound for magnitudes alike), and one below 2⁻¹⁰⁰ may be off by
// 2⁻¹²³.
void check_magnitudes(const Kernels& kernel, int64_t m, int exponent) {
  constexpr int64_t kN = 5, kK = 264, kGroup = 24;
  constexpr float kScale = 0.25f;
  std::mt19937 random(static_cast<unsigned>(m * 31 + exponent + 1000));
  std::vector<float> x(static_cast<size_t>(m * kK)), scale(kN * kK / kGroup, kScale),
      out(static_cast<size_t>(m * kN));
  for (float& value : x) {
    value = std::ldexp(1 + static_cast<float>(integer(random, 0, 1 << 23)) * 0x1p-23f,
                       exponent + integer(random, -12, 0));
    if (integer(random, 0, 1) == 0) value = -value;
    if (integer(random, 0, 3) == 0) value = 0;
  }
  std::vector<uint32_t> packed(kN * kK / 8);
  for (size_t i = 0; i < packed.size(); ++i) {
    packed[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? 0xffffffffu : static_cast<uint32_t>(random());
  }
  kernel.floating(
      {x.data(), nullptr, packed.data(), scale.data(), nullptr, nullptr, out.data(), m, kN, kK, kGroup}, 0,
      kN);
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < kN; ++column) {
      double dot = 0, bound = 0;
      for (int64_t i = 0; i < kK; i += 8) {
        double greatest = 0;
        for (int64_t j = i; j < i + 8; ++j) {
          const int code = static_cast<int>(packed[at(column, kK, i) / 8] >> 4 * (j - i) & 15) - 8;
          const double value = x[at(row, kK, j)];
          dot += value * code * kScale;
          greatest = std::max(greatest, std::abs(value));
        }
        bound += 440 * kScale * (greatest * 0x1p-24 * (kK + 19) + 0x1p-123);
      }
      ASSERT_NEAR(out[at(row, kN, column)], dot, bound) << "m=" << row << " n=" << column << " of " << m;
    }
  }
}

TEST_P(PackedLinearInt8, FloatsOfAnyMagnitude) {
  for (const int64_t m : {1, 4, 6}) {
    for (const int exponent : {0, 100, -60, -98, -140}) check_magnitudes(GetParam(), m, exponent);
  }
}

// All that a sum of integers can reach: one number times k.
TEST_P(PackedLinearInt8, FloatsDoNotOverflow) {
  constexpr int64_t kK = 2048;
  for (const int64_t m : {1, 4}) {
    for (const float value : {1.0f, -1.0f}) {
      for (const uint32_t word : {0u, 0xffffffffu}) {
        const std::vector<float> x(static_cast<size_t>(m * kK), value), scale(1, 1);
        const std::vector<uint32_t> packed(kK / 8, word);
        std::vector<float> out(static_cast<size_t>(m));
        GetParam().floating(
            {x.data(), nullptr, packed.data(), scale.data(), nullptr, nullptr, out.data(), m, 1, kK, kK}, 0,
            1);
        const float expected = value * kK * (word == 0 ? -8 : 7);
        for (const float y : out) ASSERT_NEAR(y, expected, std::abs(expected) * 0x1p-20);
      }
    }
  }
}

}  // namespace
}  // namespace zeta::cpu
