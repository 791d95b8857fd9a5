#include "src/http/io_deadline.h"

#include <gtest/gtest.h>

namespace zeta::http {
namespace {

using std::chrono::seconds;

TEST(IoDeadline, ExpiresOnce) {
  IoDeadline deadline;
  const auto now = IoDeadline::Clock::now();
  EXPECT_FALSE(deadline.expire(now + seconds(1000)));
  deadline.arm(seconds(10));
  deadline.extend(seconds(10));
  EXPECT_FALSE(deadline.expire(now + seconds(15)));
  EXPECT_TRUE(deadline.expire(now + seconds(30)));
  EXPECT_TRUE(deadline.expired());
  EXPECT_FALSE(deadline.expire(now + seconds(30)));
}

TEST(IoDeadline, ExtendingAfterItExpiredDoesNothing) {
  IoDeadline deadline;
  deadline.arm(seconds(0));
  const auto later = IoDeadline::Clock::now() + seconds(1);
  EXPECT_TRUE(deadline.expire(later));
  deadline.extend(seconds(1));
  EXPECT_FALSE(deadline.expire(later));
}

}  // namespace
}  // namespace zeta::http
