// Every instruction set against the formulas of docs/design/foundation.md. Codes must agree exactly.
#include "kernels/cpu/quantize/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/cpu/isa.h"

namespace zeta::cpu {
namespace {

struct Kernels {
  const char* name;
  decltype(&scalar::abs_sum) abs_sum;
  decltype(&scalar::quantize_ternary) ternary;
  decltype(&scalar::quantize_int4) int4;
  decltype(&scalar::quantize_activation) activation;
  decltype(&scalar::use_ternary) use_ternary;
  decltype(&scalar::use_int4) use_int4;
  decltype(&scalar::use_activation) use_activation;
  decltype(&scalar::pack_ternary) pack_ternary;
  decltype(&scalar::pack_int4) pack_int4;
};

std::vector<Kernels> kernels() {
  std::vector<Kernels> all = {{"scalar", scalar::abs_sum, scalar::quantize_ternary, scalar::quantize_int4,
                               scalar::quantize_activation, scalar::use_ternary, scalar::use_int4,
                               scalar::use_activation, scalar::pack_ternary, scalar::pack_int4}};
  if (isa() >= Isa::kAvx2) {
    all.push_back({"avx2", avx2::abs_sum, avx2::quantize_ternary, avx2::quantize_int4,
                   avx2::quantize_activation, avx2::use_ternary, avx2::use_int4, avx2::use_activation,
                   avx2::pack_ternary, avx2::pack_int4});
  }
  return all;
}

class Quantize : public testing::TestWithParam<Kernels> {};
INSTANTIATE_TEST_SUITE_P(Isa, Quantize, testing::ValuesIn(kernels()),
                         [](const auto& test) { return std::string(test.param.name); });

constexpr int64_t kSizes[] = {0, 1, 7, 8, 31, 32, 33, 100, 257, 4096};

std::vector<float> normal(int64_t n, unsigned seed, float sigma = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution(0, sigma);
  std::vector<float> values(static_cast<size_t>(n));
  std::generate(values.begin(), values.end(), [&] { return distribution(random); });
  return values;
}

int code(float value, float low, float high) {
  return static_cast<int>(std::clamp(std::nearbyint(value), low, high));
}

TEST_P(Quantize, AbsSum) {
  for (const int64_t n : kSizes) {
    const auto w = normal(n, 1);
    double expected = 0;
    for (const float value : w) expected += std::abs(static_cast<double>(value));
    // Only the order of double additions differs: n roundings of 2⁻⁵³ each.
    EXPECT_NEAR(GetParam().abs_sum(w.data(), n), expected, expected * static_cast<double>(n) * 0x1p-53) << n;
  }
}

TEST_P(Quantize, Ternary) {
  for (const int64_t n : kSizes) {
    const auto w = normal(n, 2);
    std::vector<int8_t> codes(w.size());
    GetParam().ternary(w.data(), n, 1.25f, codes.data());
    for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(codes[i], code(w[i] * 1.25f, -1, 1)) << n << " at " << i;
  }
}

TEST_P(Quantize, TiesGoToEven) {
  const std::vector<float> w = {0.5f, -0.5f, 1.5f, -1.5f, 0.50001f, -0.50001f, 0.0f, -0.0f, 2.5f, 1e30f};
  std::vector<int8_t> codes(w.size());
  GetParam().ternary(w.data(), 10, 1, codes.data());
  EXPECT_EQ(codes, (std::vector<int8_t>{0, 0, 1, -1, 1, -1, 0, 0, 1, 1}));
  const std::vector<float> x = {127, 0.5f, 1.5f, 2.5f, -2.5f, -127};
  std::vector<int8_t> q(x.size());
  EXPECT_EQ(GetParam().activation(x.data(), 6, q.data()).sum, 2);
  EXPECT_EQ(q, (std::vector<int8_t>{127, 0, 2, 2, -2, -127}));
}

TEST_P(Quantize, Int4) {
  for (const int64_t group : {int64_t{8}, int64_t{24}, int64_t{32}, int64_t{128}}) {
    const auto w = normal(group * 5, 3, 0.02f);
    std::vector<int8_t> codes(w.size());
    std::vector<float> scales(5);
    GetParam().int4(w.data(), group * 5, group, codes.data(), scales.data());
    for (size_t i = 0; i < w.size(); ++i) {
      const float scale = scales[i / static_cast<size_t>(group)];
      EXPECT_EQ(std::bit_cast<uint32_t>(scale) & 0xffffu, 0u) << "not a bfloat16";
      EXPECT_EQ(codes[i], code(w[i] / scale, -8, 7)) << group << " at " << i;
    }
    for (int64_t g = 0; g < 5; ++g) {
      const auto [low, high] = std::minmax_element(w.begin() + g * group, w.begin() + (g + 1) * group);
      const float exact = std::max(-*low, *high) / 7.5f;
      EXPECT_NEAR(scales[static_cast<size_t>(g)], exact, exact * 0x1p-8f);  // half a bfloat16 step: 2⁻⁹ … 2⁻⁸
    }
  }
}

TEST_P(Quantize, Int4OfZerosAndTinyWeights) {
  std::vector<float> w(16, 0.0f);
  std::fill(w.begin() + 8, w.end(), std::numeric_limits<float>::denorm_min());
  std::vector<int8_t> codes(16, 99);
  std::vector<float> scales(2);
  GetParam().int4(w.data(), 16, 8, codes.data(), scales.data());
  EXPECT_EQ(scales, (std::vector<float>{0x1p-126f, 0x1p-126f}));
  EXPECT_EQ(codes, std::vector<int8_t>(16, 0));
}

TEST_P(Quantize, Activation) {
  for (const int64_t n : kSizes) {
    const auto x = normal(n, 4, 3);
    float greatest = 1e-5f;
    for (const float value : x) greatest = std::max(greatest, std::abs(value));
    std::vector<int8_t> codes(x.size());
    const ActivationRow row = GetParam().activation(x.data(), n, codes.data());
    EXPECT_EQ(row.scale, 127 * (1 / greatest));
    int sum = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(codes[i], code(x[i] * row.scale, -128, 127)) << n << " at " << i;
      sum += codes[i];
    }
    EXPECT_EQ(row.sum, sum);
  }
}

TEST_P(Quantize, NonFiniteShowsInTheScale) {
  for (const float bad : {std::nanf(""), -std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {size_t{0}, size_t{9}, size_t{34}}) {
      auto values = normal(40, 5);
      values[at] = bad;
      std::vector<int8_t> codes(40);
      float scale = 0;
      const float s = GetParam().activation(values.data(), 40, codes.data()).scale;
      EXPECT_FALSE(std::isfinite(1 / s)) << bad << " at " << at;
      GetParam().int4(values.data(), 40, 40, codes.data(), &scale);
      EXPECT_FALSE(std::isfinite(scale)) << bad << " at " << at;
      EXPECT_FALSE(std::isfinite(GetParam().abs_sum(values.data(), 40))) << bad << " at " << at;
    }
  }
}

// What a forward uses is the codes times the scale, to the bit.
TEST_P(Quantize, UsedValuesAreCodesTimesScales) {
  for (const int64_t n : kSizes) {
    const auto w = normal(n, 6);
    std::vector<int8_t> codes(w.size());
    std::vector<float> used(w.size());
    GetParam().ternary(w.data(), n, 1.25f, codes.data());
    GetParam().use_ternary(w.data(), n, 1.25f, 0.8f, used.data());
    for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(used[i], static_cast<float>(codes[i]) * 0.8f);
    const float scale = GetParam().activation(w.data(), n, codes.data()).scale;
    GetParam().use_activation(codes.data(), n, scale, used.data());
    for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(used[i], static_cast<float>(codes[i]) / scale);
  }
  for (const int64_t group : {int64_t{8}, int64_t{24}, int64_t{128}}) {
    const auto w = normal(group * 5, 7, 0.02f);
    std::vector<int8_t> codes(w.size());
    std::vector<float> scales(5), used(w.size());
    GetParam().int4(w.data(), group * 5, group, codes.data(), scales.data());
    GetParam().use_int4(w.data(), group * 5, group, used.data());
    for (size_t i = 0; i < w.size(); ++i)
      EXPECT_EQ(used[i], static_cast<float>(codes[i]) * scales[i / static_cast<size_t>(group)]);
  }
}

TEST_P(Quantize, CodesArePackedAsTheyAreStored) {
  std::mt19937 random(8);
  for (const int64_t n : {int64_t{8}, int64_t{32}, int64_t{40}, int64_t{296}}) {
    std::vector<int8_t> codes(static_cast<size_t>(4 * (n + 3)));
    for (int8_t& value : codes)
      value = static_cast<int8_t>(std::uniform_int_distribution<int>(-1, 1)(random));
    std::vector<uint8_t> bytes(static_cast<size_t>(n));
    GetParam().pack_ternary(codes.data(), n + 3, n, bytes.data());
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (size_t row = 0; row < 4; ++row)
        ASSERT_EQ((bytes[i] >> 2 * row & 3) - 1, codes[row * static_cast<size_t>(n + 3) + i])
            << n << " at " << i;
    }
    for (int8_t& value : codes)
      value = static_cast<int8_t>(std::uniform_int_distribution<int>(-8, 7)(random));
    std::vector<uint32_t> words(static_cast<size_t>(n / 8));
    GetParam().pack_int4(codes.data(), n, words.data());
    for (size_t i = 0; i < static_cast<size_t>(n); ++i)
      ASSERT_EQ(static_cast<int>(words[i / 8] >> 4 * (i % 8) & 15) - 8, codes[i]) << n << " at " << i;
  }
}

}  // namespace
}  // namespace zeta::cpu
