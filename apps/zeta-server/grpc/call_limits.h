// How many calls run at once, and how they end with the server.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "src/base/mutex.h"

namespace zeta::server::grpc_api {

// Thread-safe.
class CallLimits {
 public:
  // `most`: requests under way at once.
  explicit CallLimits(size_t most) : most_(most) {}

  // Takes a place for a request; ResourceExhausted when all are taken, Unavailable while the server ends.
  absl::Status enter();
  void leave() { running_.fetch_sub(1, std::memory_order_relaxed); }

  // Requests given up because the server ends.
  void count_abandoned() { abandoned_.fetch_add(draining_ ? 1 : 0, std::memory_order_relaxed); }
  size_t abandoned() const { return abandoned_.load(std::memory_order_relaxed); }

  // A stream that is to be told, once, that the server ends. The callback may come on any thread, within
  // watch() when the server is ending already. After unwatch() it is not running and will not come.
  size_t watch(std::function<void()> end) ZETA_EXCLUDES(mutex_);
  void unwatch(size_t key) ZETA_EXCLUDES(mutex_);

  // New requests are refused from now on; streams are told.
  void drain() ZETA_EXCLUDES(mutex_);

 private:
  const size_t most_;
  std::atomic<size_t> running_{0}, abandoned_{0};
  std::atomic<bool> draining_{false};
  Mutex mutex_;
  size_t next_key_ ZETA_GUARDED_BY(mutex_) = 0;
  std::map<size_t, std::function<void()>> watchers_ ZETA_GUARDED_BY(mutex_);
};

// A place that was entered, left at the end of its life.
class Place {
 public:
  explicit Place(CallLimits& limits) : limits_(limits) {}
  ~Place() { limits_.leave(); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  CallLimits& limits_;
};

}  // namespace zeta::server::grpc_api
