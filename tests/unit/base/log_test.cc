#include "src/base/log.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace zeta::log {
namespace {

TEST(FormatLine, TextQuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(format_line(Format::kText, "loaded", {{"model", "m"}, {"reason", "a b"}, {"n", 3}, {"ok", true}}),
            "loaded model=m reason=\"a b\" n=3 ok=true");
}

TEST(FormatLine, ALineBreakInAValueCannotForgeALine) {
  const std::string line = format_line(Format::kText, "request", {{"path", "/x\n2026 error fake"}});
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(FormatLine, JsonIsValidWhateverTheValues) {
  const std::string line = format_line(
      Format::kJson, "m\"", {{"k\n", "\xFF"}, {"nan", std::nan("")}, {"x", 0.5}, {"big", int64_t{1} << 60}});
  const auto object = boost::json::parse("{" + line + "}").as_object();
  EXPECT_EQ(object.at("message").as_string(), "m\"");
  EXPECT_EQ(object.at("k\n").as_string(), "\xEF\xBF\xBD");
  EXPECT_TRUE(object.at("nan").is_null());
  EXPECT_EQ(object.at("big").as_int64(), int64_t{1} << 60);
}

TEST(Configure, WritesJsonLinesFromTheLevelOn) {
  const std::string file = ::testing::TempDir() + "/log_test.jsonl";
  std::remove(file.c_str());
  configure({Level::kWarning, Format::kJson, file});
  info("below");
  warning("seen", {{"a", 1}});
  configure({});
  std::ifstream in(file);
  std::string line, more;
  ASSERT_TRUE(std::getline(in, line));
  EXPECT_FALSE(std::getline(in, more));
  const auto object = boost::json::parse(line).as_object();
  EXPECT_EQ(object.at("message").as_string(), "seen");
  EXPECT_EQ(object.at("level").as_string(), "warning");
  EXPECT_EQ(object.at("a").as_int64(), 1);
}

TEST(Configure, NamesAFileThatCannotBeOpened) {
  try {
    configure({Level::kInfo, Format::kText, "/proc/no/such/file"});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("/proc/no/such/file"), std::string::npos);
  }
}

}  // namespace
}  // namespace zeta::log
