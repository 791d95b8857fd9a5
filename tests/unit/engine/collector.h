// Gathers the pieces of one answer, and fails a test when pieces come after the last.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "src/engine/request.h"

namespace zeta::engine {

struct Answer : Output {
  int pieces = 0;
};

class Collector {
 public:
  void add(Output piece) {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(done_) << "a piece after the last";
    ++answer_.pieces;
    answer_.text += piece.text;
    answer_.token_ids.insert(answer_.token_ids.end(), piece.token_ids.begin(), piece.token_ids.end());
    answer_.logprobs.insert(answer_.logprobs.end(), piece.logprobs.begin(), piece.logprobs.end());
    answer_.status = piece.status;
    answer_.finish_reason = piece.finish_reason;
    answer_.prompt_tokens = piece.prompt_tokens;
    answer_.completion_tokens = piece.completion_tokens;
    done_ = !piece.status.ok() || piece.finish_reason;
    changed_.notify_all();
  }

  // The whole answer, within a minute.
  Answer wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::minutes(1), [this] { return done_; })) << "no answer";
    return answer_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Answer answer_;
  bool done_ = false;
};

}  // namespace zeta::engine
