#include "src/http/mailbox.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>
#include <vector>

namespace zeta::http {
namespace {

namespace asio = boost::asio;

asio::awaitable<void> take_until(Mailbox<int>& mailbox, size_t count, std::vector<int>& taken) {
  while (taken.size() < count) {
    for (const int value : co_await mailbox.take()) taken.push_back(value);
  }
}

TEST(Mailbox, KeepsTheOrderOfEachSender) {
  constexpr int kCount = 20'000;
  asio::io_context context{1};
  Mailbox<int> mailbox(context.get_executor());
  std::vector<int> taken;
  asio::co_spawn(context, take_until(mailbox, 2 * kCount, taken), asio::detached);
  const auto send = [&](int sign) {
    for (int i = 1; i <= kCount; ++i) mailbox.put(sign * i);
  };
  std::thread up(send, 1), down(send, -1);
  context.run();
  up.join();
  down.join();
  ASSERT_EQ(taken.size(), 2u * kCount);
  int last_up = 0, last_down = 0;
  for (const int value : taken) {
    int& last = value > 0 ? last_up : last_down;
    ASSERT_EQ(std::abs(value), std::abs(last) + 1);
    last = value;
  }
}

TEST(Mailbox, ResumesAWaitingTakerOnItsExecutor) {
  asio::io_context context{1};
  Mailbox<int> mailbox(context.get_executor());
  std::vector<int> taken;
  asio::co_spawn(context, take_until(mailbox, 1, taken), asio::detached);
  context.poll();
  mailbox.put(5);
  EXPECT_TRUE(taken.empty()) << "never within put()";
  context.restart();
  context.poll();
  EXPECT_EQ(taken, std::vector<int>{5});
}

}  // namespace
}  // namespace zeta::http
