// One request from its arrival to its last piece of text.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "src/engine/completion.h"
#include "src/engine/model_runner.h"
#include "src/engine/request.h"

namespace zeta::engine {

// Plain state, owned by one thread at a time: the intake, then the engine's.
struct Sequence {
  Request request;
  OutputCallback output;
  std::chrono::steady_clock::time_point arrived = std::chrono::steady_clock::now();

  // Known once the prompt is encoded.
  std::vector<int32_t> tokens;  // prompt, then completion
  int64_t max_tokens = 0;       // of prompt and completion together
  std::optional<Completion> completion;
  bool done = false;  // its last piece has been sent

  // Known once admitted.
  std::unique_ptr<SequenceCache> cache;

  // Tokens that the model has not seen yet.
  std::span<const int32_t> unseen() const {
    return std::span(tokens).subspan(cache ? static_cast<size_t>(cache->size()) : 0);
  }
};

}  // namespace zeta::engine
