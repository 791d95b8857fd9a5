#include "src/engine/random.h"

#include <gtest/gtest.h>

#include <cmath>

namespace zeta::engine {
namespace {

// Known answers published with Random123 (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Uniform, StaysBelowOneAndAveragesOneHalf) {
  constexpr int kCount = 100000;
  double sum = 0.0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double u = uniform(42, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  // Six standard errors of a mean of uniforms, 1/√(12 n).
  EXPECT_NEAR(sum / kCount, 0.5, 6 / std::sqrt(12.0 * kCount));
}

TEST(Uniform, SeedsAndIndicesBothMatter) {
  EXPECT_NE(uniform(1, 0), uniform(2, 0));
  EXPECT_NE(uniform(1, 0), uniform(uint64_t{1} << 32, 0));
  EXPECT_NE(uniform(1, 0), uniform(1, 1));
  EXPECT_NE(uniform(1, 0), uniform(1, uint64_t{1} << 32));
}

}  // namespace
}  // namespace zeta::engine
