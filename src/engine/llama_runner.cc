#include "src/engine/llama_runner.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "src/nn/llama.h"
#include "src/nn/model_error.h"

namespace zeta::engine {
namespace {

// Torch's errors carry a backtrace in what(), which is no message for a client.
template <typename Action>
void plainly(Action action) {
  const c10::InferenceMode guard;
  try {
    action();
  } catch (const c10::Error& error) {
    throw std::runtime_error(error.what_without_backtrace());
  }
}

class LlamaCache : public SequenceCache {
 public:
  explicit LlamaCache(nn::KvCache empty) : cache(std::move(empty)) {}
  int64_t size() const override { return cache.size(); }
  size_t bytes() const override { return cache.bytes(); }
  void reserve(int64_t tokens) override {
    plainly([&] { cache.reserve(tokens); });
  }

  nn::KvCache cache;
};

class LlamaRunner : public ModelRunner {
 public:
  LlamaRunner(std::shared_ptr<const nn::LlamaModel> model, const LlamaRunnerOptions& options)
      : model_(std::move(model)), num_threads_(options.num_threads) {
    const int64_t limit = model_->config().max_position_embeddings;
    max_model_len_ = options.max_model_len.value_or(limit);
    if (max_model_len_ < 2 || max_model_len_ > limit) {
      throw nn::ModelError(fmt::format(
          "expected max_model_len from 2 to max_position_embeddings = {}, got {}", limit, max_model_len_));
    }
  }

  int64_t vocab_size() const override { return model_->config().vocab_size; }
  int64_t max_model_len() const override { return max_model_len_; }
  int64_t kv_bytes_per_token() const override { return model_->kv_bytes_per_token(); }

  // OpenMP keeps the number of threads per calling thread.
  void enter_thread() override {
    if (num_threads_) at::set_num_threads(static_cast<int>(*num_threads_));
  }

  std::unique_ptr<SequenceCache> make_cache(int64_t max_tokens) override {
    return std::make_unique<LlamaCache>(model_->make_cache(max_tokens));
  }

  std::span<const float> forward(std::span<const RunnerInput> inputs) override {
    std::vector<nn::SequenceChunk> chunks;
    for (const RunnerInput& input : inputs) {
      chunks.push_back({&static_cast<LlamaCache*>(input.cache)->cache, input.tokens, input.wants_logits});
    }
    plainly([&] { logits_ = model_->forward(chunks); });
    return {logits_.const_data_ptr<float>(), static_cast<size_t>(logits_.numel())};
  }

 private:
  std::shared_ptr<const nn::LlamaModel> model_;
  std::optional<int64_t> num_threads_;
  int64_t max_model_len_ = 0;
  at::Tensor logits_;
};

}  // namespace

std::unique_ptr<ModelRunner> make_llama_runner(std::shared_ptr<const nn::LlamaModel> model,
                                               const LlamaRunnerOptions& options) {
  return std::make_unique<LlamaRunner>(std::move(model), options);
}

}  // namespace zeta::engine
