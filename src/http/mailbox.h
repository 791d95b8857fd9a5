// Values from any thread to one coroutine.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "src/base/mutex.h"

namespace zeta::http {

// put() may be called from any thread; take() from one coroutine at a time, on `executor`. A waiting taker is
// resumed there, never inside put(). Unbounded: whoever puts bounds what it puts.
template <class T>
class Mailbox {
 public:
  explicit Mailbox(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

  void put(T value) ZETA_EXCLUDES(mutex_) {
    std::function<void()> wake;
    {
      MutexLock lock(mutex_);
      values_.push_back(std::move(value));
      wake = std::exchange(wake_taker_, nullptr);
    }
    if (wake) wake();
  }

  // Everything there is, oldest first; perhaps nothing.
  std::vector<T> try_take() ZETA_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return std::exchange(values_, {});
  }

  // Everything there is, oldest first; waits for something when there is nothing.
  boost::asio::awaitable<std::vector<T>> take() ZETA_EXCLUDES(mutex_) {
    std::vector<T> values = try_take();
    while (values.empty()) {
      co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&, void()>(
          [this](auto handler) { this->wait(std::move(handler)); }, boost::asio::use_awaitable);
      values = try_take();
    }
    co_return values;
  }

 private:
  template <class Handler>
  void wait(Handler handler) ZETA_EXCLUDES(mutex_) {
    auto taker = std::make_shared<Handler>(std::move(handler));
    std::function<void()> wake = [taker, executor = executor_] {
      boost::asio::post(executor, [taker] { std::move (*taker)(); });
    };
    {
      MutexLock lock(mutex_);
      if (values_.empty()) {
        wake_taker_ = std::move(wake);
        return;
      }
    }
    wake();
  }

  boost::asio::any_io_executor executor_;
  Mutex mutex_;
  std::vector<T> values_ ZETA_GUARDED_BY(mutex_);
  std::function<void()> wake_taker_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta::http
