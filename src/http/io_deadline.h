// When the read or write under way on a connection has taken too long.
#pragma once

#include <chrono>

namespace zeta::http {

// Set by whoever reads or writes, watched by the worker's sweep: cheaper than a timer for each operation.
// Used on the connection's thread only.
class IoDeadline {
 public:
  using Clock = std::chrono::steady_clock;

  void arm(Clock::duration timeout) {
    at_ = Clock::now() + timeout;
    expired_ = false;
  }
  // Nothing while disarmed, as after the deadline has passed.
  void extend(Clock::duration more) {
    if (at_ != Clock::time_point::max()) at_ += more;
  }
  void shorten(Clock::time_point at) {
    if (at < at_) at_ = at;
  }
  void disarm() { at_ = Clock::time_point::max(); }

  // True once, when the time has come: the caller then cancels the operation.
  bool expire(Clock::time_point now) {
    if (now < at_) return false;
    disarm();
    return expired_ = true;
  }
  // Whether the last operation was cancelled for its deadline.
  bool expired() const { return expired_; }

 private:
  Clock::time_point at_ = Clock::time_point::max();
  bool expired_ = false;
};

}  // namespace zeta::http
