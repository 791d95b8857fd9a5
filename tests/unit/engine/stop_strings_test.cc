#include "src/engine/stop_strings.h"

#include <gtest/gtest.h>

#include <random>

namespace zeta::engine {
namespace {

struct Shown {
  std::string text;
  bool matched;
};

Shown show(const std::vector<std::string>& stop, const std::vector<std::string>& pieces) {
  StopStrings strings(stop);
  std::string text;
  for (const std::string& piece : pieces) text += strings.push(piece);
  text += strings.finish();
  return {text, strings.matched()};
}

TEST(StopStrings, CutsAcrossPieces) {
  EXPECT_EQ(show({"END"}, {"abc E", "N", "D tail"}).text, "abc ");
  EXPECT_TRUE(show({"END"}, {"abc E", "N", "D tail"}).matched);
  EXPECT_EQ(show({"END"}, {"abc E", "N", "d"}).text, "abc ENd");
  EXPECT_EQ(show({"aab"}, {"a", "a", "a", "b"}).text, "a");
}

TEST(StopStrings, TheEarliestMatchWins) {
  EXPECT_EQ(show({"cd", "b"}, {"abcd"}).text, "a");
  EXPECT_EQ(show({"b", "abc"}, {"xabc"}).text, "x");
}

TEST(StopStrings, HoldsBackOnlyWhatMayStop) {
  StopStrings strings({"\n\n"});
  EXPECT_EQ(strings.push("one"), "one");
  EXPECT_EQ(strings.push("\n"), "");
  EXPECT_EQ(strings.push("two"), "\ntwo");
  EXPECT_EQ(strings.push("\n\nx"), "");
  EXPECT_EQ(strings.push("more"), "");
}

TEST(StopStrings, WithoutStopsTextPasses) {
  EXPECT_EQ(show({}, {"a", "b"}).text, "ab");
  EXPECT_FALSE(show({}, {"a", "b"}).matched);
}

// However a text is cut, what is shown is the text up to the first stop string.
TEST(StopStrings, AgreesWithASearchOfTheWholeText) {
  constexpr uint32_t kSeed = 5;
  std::mt19937 random(kSeed);
  const auto word = [&](size_t length) {
    std::string out;
    for (size_t i = 0; i < length; ++i) out.push_back(static_cast<char>('a' + random() % 2));
    return out;
  };
  for (int round = 0; round < 3000; ++round) {
    const std::vector<std::string> stop{word(1 + random() % 5), word(3 + random() % 4)};
    const std::string text = word(random() % 24);
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 4;
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    const size_t first = std::min(text.find(stop[0]), text.find(stop[1]));
    const Shown shown = show(stop, pieces);
    ASSERT_EQ(shown.matched, first != std::string::npos) << text << " seed " << kSeed;
    // A longer stop string may begin before a shorter one that ends first.
    if (!shown.matched) ASSERT_EQ(shown.text, text);
    if (shown.matched) ASSERT_EQ(shown.text, text.substr(0, shown.text.size()));
    ASSERT_EQ(shown.text.find(stop[0]), std::string::npos);
    ASSERT_EQ(shown.text.find(stop[1]), std::string::npos);
  }
}

}  // namespace
}  // namespace zeta::engine
