// The architecture of a LlamaForCausalLM, from a Hugging Face folder's config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "src/nn/json_object.h"
#include "src/nn/quantization.h"

namespace zeta::nn {

// Rotary position embedding; `llama3` is the frequency scaling of Llama 3.1
// (transformers `_compute_llama3_parameters`).
struct RotaryConfig {
  struct Llama3Scaling {
    double factor, low_freq_factor, high_freq_factor;
    int64_t original_max_position_embeddings;
  };
  double theta = 10000.0;
  std::optional<Llama3Scaling> llama3;
};

struct LlamaConfig {
  int64_t vocab_size;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t num_layers;
  int64_t num_heads;
  int64_t num_kv_heads;  // divides num_heads
  int64_t head_dim;      // even
  int64_t max_position_embeddings;
  double rms_norm_eps;
  bool tie_word_embeddings;
  bool attention_bias;
  bool mlp_bias;
  std::optional<std::string>
      dtype;  // of activations and what is not packed: "float32", "bfloat16", "float16"
  RotaryConfig rotary;
  Quantization quantization;
};

// Checks every key that changes results; what we cannot honour is refused with a ModelError that names file
// and key. Keys that transformers' Llama ignores are ignored.
LlamaConfig read_llama_config(const JsonObject& config);

}  // namespace zeta::nn
