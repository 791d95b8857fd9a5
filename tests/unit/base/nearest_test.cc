#include "src/base/nearest.h"

#include <gtest/gtest.h>

#include <array>

namespace zeta {
namespace {

constexpr std::array<std::string_view, 3> kKnown{"--model", "--model-repository", "--http-port"};

TEST(EditDistance, CountsLetters) {
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("rope_theta", "rope_theta"), 0U);
}

TEST(Nearest, KnowsWhatWasMeant) {
  EXPECT_EQ(nearest("--modle", kKnown), "--model");
  EXPECT_EQ(nearest("--http-prot", kKnown), "--http-port");
  EXPECT_EQ(nearest("--models", kKnown), "--model");
}

TEST(Nearest, DoesNotGuess) {
  EXPECT_EQ(nearest("--bogus", kKnown), "");
  EXPECT_EQ(nearest("--mod", kKnown), "") << "too short";
  EXPECT_EQ(nearest("", kKnown), "");
}

}  // namespace
}  // namespace zeta
