// LlamaForCausalLM inference on ATen: a batch of sequences, each with its own cache, through one pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/nn/kv_cache.h"
#include "src/nn/linear.h"
#include "src/nn/llama_config.h"
#include "src/nn/rms_norm.h"
#include "src/nn/rotary.h"

namespace zeta::nn {

// The next tokens of one sequence: one of them when decoding, several of a prompt.
struct SequenceChunk {
  KvCache* cache;                   // holds the tokens before these; grows by these
  std::span<const int32_t> tokens;  // not empty
  bool wants_logits;                // of the last token
};

// Weights are immutable after load; forward may run on one thread at a time per cache.
class LlamaModel {
 public:
  // `folder` is a Hugging Face folder. Throws ModelError.
  explicit LlamaModel(const std::string& folder);

  const LlamaConfig& config() const { return config_; }

  // A cache for up to `max_tokens` of one sequence; allocates nothing yet.
  KvCache make_cache(int64_t max_tokens) const;
  int64_t kv_bytes_per_token() const;

  // All chunks' tokens pass the linear layers as one batch; attention runs per sequence. Each cache must have
  // room reserved. Gives logits (rows, vocab) fp32, one row for each chunk that wants them, in order.
  at::Tensor forward(std::span<const SequenceChunk> chunks) const;

  // Bytes of weights in memory: the files' data, plus what had to be converted.
  size_t resident_weight_bytes() const { return resident_weight_bytes_; }
  size_t packed_bytes_on_disk() const { return packed_bytes_on_disk_; }

 private:
  struct Layer {
    RmsNorm input_norm, post_attention_norm;
    Linear q, k, v, o;
    Linear gate, up, down;
  };
  struct Step;

  void load(WeightLoader& loader);
  Layer load_layer(WeightLoader& loader, int64_t index) const;
  at::Tensor embed(const Step& step) const;
  at::Tensor attention(const Layer& layer, int64_t index, const at::Tensor& x, const Step& step) const;
  static at::Tensor mlp(const Layer& layer, const at::Tensor& x);

  LlamaConfig config_;
  at::ScalarType dtype_ = at::kFloat;
  Rotary rotary_;
  at::Tensor embedding_;  // (vocab, hidden)
  std::vector<Layer> layers_;
  RmsNorm norm_;
  Linear head_;
  size_t resident_weight_bytes_ = 0, packed_bytes_on_disk_ = 0;
};

}  // namespace zeta::nn
