// What the scheduler needs of a model: caches for sequences, and one step for a batch of them. Free of torch,
// so that everything above it is too.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace zeta::engine {

// The keys and values of one sequence. Destroying it frees them.
class SequenceCache {
 public:
  virtual ~SequenceCache() = default;
  virtual int64_t size() const = 0;  // tokens held
  virtual size_t bytes() const = 0;  // allocated
  // Makes room for `tokens` in all; throws when there is no memory.
  virtual void reserve(int64_t tokens) = 0;
};

struct RunnerInput {
  SequenceCache* cache;             // with room reserved for the tokens
  std::span<const int32_t> tokens;  // the next ones of the sequence, not empty
  bool wants_logits;                // of the last token
};

// Owned by the engine; after construction every call comes from the engine's thread, except those marked.
class ModelRunner {
 public:
  virtual ~ModelRunner() = default;

  virtual int64_t vocab_size() const = 0;          // any thread
  virtual int64_t max_model_len() const = 0;       // any thread; tokens of prompt and completion together
  virtual int64_t kv_bytes_per_token() const = 0;  // any thread

  // Called once on the engine's thread before anything else there.
  virtual void enter_thread() {}
  virtual std::unique_ptr<SequenceCache> make_cache(int64_t max_tokens) = 0;
  // Appends each input's tokens to its cache. Gives the logits of those inputs that want them, in order,
  // (rows, vocab) row-major, valid until the next call. Throws on failure; the caches are then lost.
  virtual std::span<const float> forward(std::span<const RunnerInput> inputs) = 0;
};

}  // namespace zeta::engine
