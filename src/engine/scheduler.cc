#include "src/engine/scheduler.h"

#include <algorithm>
#include <utility>

namespace zeta::engine {

std::unique_ptr<Sequence> Scheduler::admit() {
  if (waiting_.empty() || static_cast<int64_t>(running_.size()) >= limits_.max_num_seqs) return nullptr;
  if (reserved_tokens_ + waiting_.front()->max_tokens > limits_.kv_cache_tokens) return nullptr;
  std::unique_ptr<Sequence> sequence = std::move(waiting_.front());
  waiting_.pop_front();
  return sequence;
}

void Scheduler::run(std::unique_ptr<Sequence> sequence) {
  reserved_tokens_ += sequence->max_tokens;
  running_.push_back(std::move(sequence));
}

std::vector<Scheduler::Chunk> Scheduler::plan() const {
  std::vector<Chunk> chunks;
  auto budget = static_cast<size_t>(limits_.max_num_batched_tokens);
  for (const bool decoding : {true, false}) {
    for (const auto& sequence : running_) {
      const std::span<const int32_t> unseen = sequence->unseen();
      if ((unseen.size() == 1) != decoding) continue;
      const size_t n = std::min(unseen.size(), budget);
      if (n == 0) break;
      budget -= n;
      chunks.push_back({sequence.get(), unseen.first(n), n == unseen.size()});
    }
  }
  return chunks;
}

std::vector<std::unique_ptr<Sequence>> Scheduler::remove_if(
    const std::function<bool(const Sequence&)>& done) {
  std::vector<std::unique_ptr<Sequence>> removed;
  const auto take = [&](auto& sequences) {
    for (auto& sequence : sequences) {
      if (done(*sequence)) removed.push_back(std::move(sequence));
    }
    std::erase(sequences, nullptr);
  };
  take(waiting_);
  const size_t not_running = removed.size();
  take(running_);
  for (size_t i = not_running; i < removed.size(); ++i) reserved_tokens_ -= removed[i]->max_tokens;
  return removed;
}

}  // namespace zeta::engine
