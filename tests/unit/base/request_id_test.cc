#include "src/base/request_id.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace zeta {
namespace {

TEST(RequestId, IsValidAndNew) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    ids.insert(make_request_id());
    EXPECT_TRUE(is_valid_request_id(*ids.begin()));
  }
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(RequestId, ForeignIdsMustBePlain) {
  EXPECT_TRUE(is_valid_request_id("req-1_A.z"));
  EXPECT_FALSE(is_valid_request_id(""));
  EXPECT_FALSE(is_valid_request_id("a b"));
  EXPECT_FALSE(is_valid_request_id("a\nb"));
  EXPECT_FALSE(is_valid_request_id(std::string(129, 'a')));
}

}  // namespace
}  // namespace zeta
