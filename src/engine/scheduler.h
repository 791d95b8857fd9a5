// Which sequences run, and which of their tokens the next step computes. Mirrors the V1 scheduler of vLLM:
// one rule, "tokens not yet computed, under a budget", covers prompts, their chunks and decoding.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "src/engine/sequence.h"

namespace zeta::engine {

struct SchedulerLimits {
  int64_t max_num_seqs;            // sequences that run at once
  int64_t max_num_batched_tokens;  // tokens of one step; ≥ max_num_seqs, so that decoding never waits
  int64_t kv_cache_tokens;         // tokens that all caches together may come to hold
};

// Sequences are admitted first come, first served, when their whole length (prompt and the longest
// completion) fits what is left of kv_cache_tokens: what runs can always finish, and nothing is ever evicted.
// Not thread-safe.
class Scheduler {
 public:
  explicit Scheduler(SchedulerLimits limits) : limits_(limits) {}

  void add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }
  // The next sequence in line if it may run now, else null. The caller gives it a cache and calls run().
  std::unique_ptr<Sequence> admit();
  void run(std::unique_ptr<Sequence> sequence);

  struct Chunk {
    Sequence* sequence;
    std::span<const int32_t> tokens;
    bool last;  // no unseen token is left after these
  };
  // Running sequences that decode come first, then prompts in order of admission, in chunks.
  std::vector<Chunk> plan() const;

  // Takes out those, waiting or running, for which `done` holds.
  std::vector<std::unique_ptr<Sequence>> remove_if(const std::function<bool(const Sequence&)>& done);

  size_t num_waiting() const { return waiting_.size(); }
  size_t num_running() const { return running_.size(); }
  int64_t reserved_tokens() const { return reserved_tokens_; }
  const std::vector<std::unique_ptr<Sequence>>& running() const { return running_; }

 private:
  SchedulerLimits limits_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;
  int64_t reserved_tokens_ = 0;  // Σ max_tokens of running_
};

}  // namespace zeta::engine
