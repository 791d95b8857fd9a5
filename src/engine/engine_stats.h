// What the engine counts about itself.
#pragma once

#include <atomic>
#include <cstdint>

namespace zeta::engine {

// Written by the engine, read by any thread; each figure is exact, together they are no snapshot.
struct EngineStats {
  std::atomic<int64_t> requests_waiting{0}, requests_running{0};
  std::atomic<int64_t> requests_finished{0}, requests_failed{0};
  std::atomic<int64_t> prompt_tokens{0}, generation_tokens{0};  // computed since the start
  std::atomic<int64_t> kv_reserved_tokens{0};
  std::atomic<int64_t> kv_bytes{0};  // allocated
  std::atomic<int64_t> steps{0}, failed_steps{0};
  // Sums over first_tokens requests, and over the tokens after the first.
  std::atomic<int64_t> first_tokens{0}, time_to_first_token_us{0};
  std::atomic<int64_t> step_time_us{0};
};

}  // namespace zeta::engine
