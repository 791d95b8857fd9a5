// A model without arithmetic, for tests of what surrounds a model: the next token is known beforehand, and a
// step can be made to wait or fail.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

#include "src/engine/model_runner.h"

namespace zeta::engine {

class ScriptedCache : public SequenceCache {
 public:
  int64_t size() const override { return static_cast<int64_t>(tokens.size()); }
  size_t bytes() const override { return tokens.size(); }
  void reserve(int64_t total) override {
    if (total > refuses_from) throw std::bad_alloc();
  }
  std::vector<int32_t> tokens;
  int64_t refuses_from = INT64_MAX;
};

// What a test watches and steers, from its own thread.
struct Script {
  int64_t vocab_size = 288, max_model_len = 64;
  // The token after these.
  std::function<int32_t(const std::vector<int32_t>&)> next = [](const auto& tokens) { return tokens.back(); };
  std::function<bool(const std::vector<int32_t>&)> fails = [](const auto&) { return false; };
  std::atomic<int64_t> cache_refuses_from{INT64_MAX};
  std::atomic<bool> has_no_caches{false};

  std::atomic<int> steps{0}, live_caches{0};
  std::atomic<size_t> most_sequences{0}, most_tokens{0};

  void hold() {
    const std::lock_guard lock(mutex);
    held = true;
  }
  void release() {
    {
      const std::lock_guard lock(mutex);
      held = false;
    }
    changed.notify_all();
  }
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false;  // guarded by mutex
};

class ScriptedRunner : public ModelRunner {
 public:
  explicit ScriptedRunner(std::shared_ptr<Script> script) : script_(std::move(script)) {}

  int64_t vocab_size() const override { return script_->vocab_size; }
  int64_t max_model_len() const override { return script_->max_model_len; }
  int64_t kv_bytes_per_token() const override { return 1; }

  std::unique_ptr<SequenceCache> make_cache(int64_t) override {
    struct Counted : ScriptedCache {
      explicit Counted(Script& script) : script(script) { ++script.live_caches; }
      ~Counted() override { --script.live_caches; }
      Script& script;
    };
    if (script_->has_no_caches) throw std::bad_alloc();
    auto cache = std::make_unique<Counted>(*script_);
    cache->refuses_from = script_->cache_refuses_from;
    return cache;
  }

  std::span<const float> forward(std::span<const RunnerInput> inputs) override {
    {
      std::unique_lock lock(script_->mutex);
      script_->changed.wait(lock, [this] { return !script_->held; });
    }
    ++script_->steps;
    logits_.clear();
    size_t tokens = 0;
    for (const RunnerInput& input : inputs) {
      auto& cache = static_cast<ScriptedCache&>(*input.cache);
      cache.tokens.insert(cache.tokens.end(), input.tokens.begin(), input.tokens.end());
      tokens += input.tokens.size();
      if (script_->fails(cache.tokens)) throw std::runtime_error("scripted failure");
      if (!input.wants_logits) continue;
      logits_.resize(logits_.size() + static_cast<size_t>(script_->vocab_size), 0.0f);
      logits_[logits_.size() - static_cast<size_t>(script_->vocab_size) +
              static_cast<size_t>(script_->next(cache.tokens))] = 10.0f;
    }
    script_->most_sequences = std::max(script_->most_sequences.load(), inputs.size());
    script_->most_tokens = std::max(script_->most_tokens.load(), tokens);
    return logits_;
  }

 private:
  std::shared_ptr<Script> script_;
  std::vector<float> logits_;
};

}  // namespace zeta::engine
