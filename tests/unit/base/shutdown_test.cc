#include "src/base/shutdown.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace zeta {
namespace {

// Each in a process of its own, as signal dispositions are the process's.
TEST(ShutdownDeathTest, WaitTellsTheSignal) {
  EXPECT_EXIT(
      {
        Shutdown shutdown;
        kill(getpid(), SIGINT);
        std::_Exit(shutdown.wait() == "SIGINT" ? 7 : 1);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST(ShutdownDeathTest, RequestFromAnotherThreadTellsItsReason) {
  EXPECT_EXIT(
      {
        Shutdown shutdown;
        std::thread([&] { shutdown.request("model lost"); }).join();
        std::_Exit(shutdown.wait() == "model lost" ? 7 : 1);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST(ShutdownDeathTest, ASecondSignalEndsTheProcessAtOnce) {
  EXPECT_EXIT(
      {
        Shutdown shutdown;
        kill(getpid(), SIGTERM);
        shutdown.wait();
        kill(getpid(), SIGTERM);
        pause();
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace zeta
