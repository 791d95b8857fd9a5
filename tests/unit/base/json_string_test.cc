#include "src/base/json_string.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

namespace zeta {
namespace {

std::string as_json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonString, EscapesWhatJsonForbids) {
  EXPECT_EQ(as_json("a\"b\\c\n\r\t\x01"), R"("a\"b\\c\n\r\t\u0001")");
  EXPECT_EQ(as_json("\x7F"), R"("\u007f")");
}

TEST(JsonString, KeepsUtf8) { EXPECT_EQ(as_json("≤ π 𝄞"), "\"≤ π 𝄞\""); }

TEST(JsonString, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(as_json("a\xFFz"), "\"a\xEF\xBF\xBDz\"");
  EXPECT_EQ(as_json("\xE2\x89"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(JsonString, EveryTwoByteStringIsValidJson) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text{static_cast<char>(first), static_cast<char>(second)};
      boost::json::error_code error;
      boost::json::parse(as_json(text), error);
      ASSERT_FALSE(error) << first << " " << second;
    }
  }
}

TEST(IsUtf8, RefusesOverlongSurrogatesAndBeyondUnicode) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("\xF4\x8F\xBF\xBF"));
  EXPECT_FALSE(is_utf8("\xC0\x80"));
  EXPECT_FALSE(is_utf8("\xE0\x9F\xBF"));
  EXPECT_FALSE(is_utf8("\xED\xA0\x80"));
  EXPECT_FALSE(is_utf8("\xF0\x8F\xBF\xBF"));
  EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));
}

}  // namespace
}  // namespace zeta
