#include "apps/zeta-server/tracing/trace_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace zeta::server {

using serving::TraceRecord;

TraceQueue::TraceQueue(Limits limits, Write write) : limits_(limits), write_(std::move(write)) {
  thread_ = std::jthread([this] { run(); });
}

TraceQueue::~TraceQueue() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void TraceQueue::put(TraceRecord record) {
  const size_t size = record.bytes();
  MutexLock lock(mutex_);
  if (waiting_.size() >= limits_.traces || bytes_ + size > limits_.bytes) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  bytes_ += size;
  waiting_.push_back(std::move(record));
  if (waiting_.size() >= limits_.batch || waiting_.size() == 1) changed_.notify_one();
}

TraceCounts TraceQueue::counts() const { return {written_.load(), dropped_.load(), failed_.load()}; }

std::vector<TraceRecord> TraceQueue::next(bool& last) {
  MutexLock lock(mutex_);
  while (waiting_.empty() && !ending_) changed_.wait(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + limits_.delay;
  while (waiting_.size() < limits_.batch && !ending_) {
    if (!changed_.wait_until(mutex_, deadline)) break;
  }
  last = ending_;
  if (waiting_.size() <= limits_.batch) {
    bytes_ = 0;
    return std::exchange(waiting_, {});
  }
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(limits_.batch);
  std::vector<TraceRecord> batch(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  for (const TraceRecord& record : batch) bytes_ -= std::min(bytes_, record.bytes());
  return batch;
}

void TraceQueue::run() {
  bool last = false;
  for (auto batch = next(last); !batch.empty(); batch = next(last)) {
    const size_t count = batch.size();
    const bool written = write_(std::move(batch), last);
    (written ? written_ : failed_).fetch_add(count, std::memory_order_relaxed);
    if (last && !written) return;  // whoever ends the server does not wait for each of the others
  }
}

}  // namespace zeta::server
