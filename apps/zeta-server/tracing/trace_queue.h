// Traces on their way from requests to where they are written.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "src/base/mutex.h"
#include "src/serving/request_trace.h"

namespace zeta::server {

struct TraceCounts {
  uint64_t written = 0, dropped = 0, failed = 0;  // failed: could not be written
};

// Thread-safe. Never holds a request up: what finds the queue full is dropped and counted.
class TraceQueue {
 public:
  struct Limits {
    size_t traces = 2048;
    size_t bytes = 64 << 20;                // of tensors, mostly
    size_t batch = 512;                     // traces written at once
    std::chrono::milliseconds delay{5000};  // until a batch that is not full is written
  };
  // Writes a batch, on the queue's own thread; false: it is lost. `last`: the queue is ending, so be quick.
  using Write = std::function<bool(std::vector<serving::TraceRecord> batch, bool last)>;

  TraceQueue(Limits limits, Write write);
  // Writes what is left, until something cannot be written.
  ~TraceQueue();

  void put(serving::TraceRecord record) ZETA_EXCLUDES(mutex_);
  TraceCounts counts() const;

 private:
  void run() ZETA_EXCLUDES(mutex_);
  // Waits for a batch; empty when the queue ends.
  std::vector<serving::TraceRecord> next(bool& last) ZETA_EXCLUDES(mutex_);

  const Limits limits_;
  const Write write_;
  std::atomic<uint64_t> written_{0}, dropped_{0}, failed_{0};
  Mutex mutex_;
  CondVar changed_;
  std::vector<serving::TraceRecord> waiting_ ZETA_GUARDED_BY(mutex_);
  size_t bytes_ ZETA_GUARDED_BY(mutex_) = 0;
  bool ending_ ZETA_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace zeta::server
