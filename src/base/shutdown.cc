#include "src/base/shutdown.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

namespace zeta {
namespace {

sigset_t end_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Shutdown::Shutdown() {
  const sigset_t set = end_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

std::string Shutdown::wait(const std::function<void()>& hang_up) {
  const sigset_t set = end_signals();
  int received = 0;
  while (sigwait(&set, &received) != 0 || (received == SIGHUP && hang_up)) {
    if (received == SIGHUP) hang_up();
    received = 0;
  }
  // Here alone the signals are no longer blocked, so that the default action of a second one ends the
  // process.
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  MutexLock lock(mutex_);
  if (!reason_.empty()) return reason_;
  if (received == SIGHUP) return "SIGHUP";
  return received == SIGINT ? "SIGINT" : "SIGTERM";
}

void Shutdown::request(std::string reason) {
  {
    MutexLock lock(mutex_);
    if (!reason_.empty()) return;
    reason_ = std::move(reason);
  }
  kill(getpid(), SIGTERM);
}

}  // namespace zeta
