#include "src/http/message.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace zeta::http {
namespace {

TEST(PercentDecode, Decodes) {
  std::string text;
  EXPECT_TRUE(percent_decode("a%2Fb%c3%a9+", text));
  EXPECT_EQ(text, "a/bé+");
}

TEST(PercentDecode, RefusesWhatCannotBeAName) {
  std::string text;
  for (const char* bad : {"%", "%2", "%zz", "%+1", "a%0Ab", "%00", "%ff", "%7F"}) {
    EXPECT_FALSE(percent_decode(bad, text)) << bad;
  }
}

TEST(Request, AMissingPathParameterIsOurBug) {
  Request request;
  request.path_params = {{"model", "m"}};
  EXPECT_EQ(request.path_param("model"), "m");
  EXPECT_THROW(request.path_param("version"), std::logic_error);
}

}  // namespace
}  // namespace zeta::http
