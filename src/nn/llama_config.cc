#include "src/nn/llama_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace zeta::nn {
namespace {

// Generous; they keep products of two extents far from 64-bit overflow.
constexpr int64_t kMaxExtent = 1 << 24;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeadDim = 256;  // of zeta::flash_attention_forward

// Keys of Llama's relatives. A folder that sets one was not computed as plain Llama.
constexpr std::array<std::string_view, 14> kForeignKeys{
    "sliding_window",        "attn_logit_softcapping", "final_logit_softcapping", "logit_scale",
    "logits_scaling",        "attention_multiplier",   "residual_multiplier",     "embedding_multiplier",
    "num_experts",           "num_local_experts",      "attention_chunk_size",    "no_rope_layers",
    "query_pre_attn_scalar", "rope_interleaved"};

void require_architecture(const JsonObject& config) {
  const std::vector<std::string> names = config.strings("architectures");
  if (names != std::vector<std::string>{"LlamaForCausalLM"}) {
    config.fail("architectures", "not supported; expected [\"LlamaForCausalLM\"]");
  }
  config.one_of("hidden_act", {"silu"}, std::string("silu"));
  for (std::string_view key : kForeignKeys) {
    if (config.has(key)) config.fail(key, "not supported for LlamaForCausalLM; expected no such key");
  }
}

RotaryConfig::Llama3Scaling read_llama3(const JsonObject& rope) {
  RotaryConfig::Llama3Scaling scaling{};
  scaling.factor = rope.number("factor", 1.0, 1e6);
  scaling.low_freq_factor = rope.number("low_freq_factor", 1e-6, 1e6);
  scaling.high_freq_factor = rope.number("high_freq_factor", 1e-6, 1e6);
  scaling.original_max_position_embeddings = rope.integer("original_max_position_embeddings", 1, 1 << 30);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    rope.fail("high_freq_factor", "expected more than low_freq_factor");
  }
  return scaling;
}

// transformers 5 writes `rope_parameters`; before, `rope_theta` stood alone beside `rope_scaling`.
RotaryConfig read_rotary(const JsonObject& config) {
  constexpr double kMaxTheta = 1e12;
  RotaryConfig rotary;
  rotary.theta = config.number("rope_theta", 1.0, kMaxTheta, rotary.theta);
  const auto rope = config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  if (!rope) return rotary;
  rotary.theta = rope->number("rope_theta", 1.0, kMaxTheta, rotary.theta);
  if (rope->number("partial_rotary_factor", 0.0, 1.0, 1.0) != 1.0) {
    rope->fail("partial_rotary_factor", "not supported; expected 1");
  }
  const char* key = rope->has("rope_type") ? "rope_type" : "type";
  if (rope->one_of(key, {"default", "llama3"}, std::string("default")) == "llama3") {
    rotary.llama3 = read_llama3(*rope);
  }
  return rotary;
}

std::optional<std::string> read_dtype(const JsonObject& config) {
  const char* key = config.has("dtype") ? "dtype" : "torch_dtype";
  if (!config.has(key)) return std::nullopt;
  return config.one_of(key, {"float32", "bfloat16", "float16"});
}

void read_heads(const JsonObject& config, LlamaConfig& out) {
  out.num_heads = config.integer("num_attention_heads", 1, kMaxExtent);
  out.num_kv_heads = config.integer("num_key_value_heads", 1, kMaxExtent, out.num_heads);
  if (out.num_heads % out.num_kv_heads != 0) {
    config.fail("num_key_value_heads",
                fmt::format("expected a divisor of num_attention_heads = {}", out.num_heads));
  }
  if (out.hidden_size % out.num_heads != 0) {
    config.fail("hidden_size", fmt::format("expected a multiple of num_attention_heads = {}", out.num_heads));
  }
  out.head_dim = config.integer("head_dim", 1, kMaxExtent, out.hidden_size / out.num_heads);
  if (out.head_dim % 2 != 0 || out.head_dim > kMaxHeadDim) {
    config.fail("head_dim", fmt::format("expected an even head_dim ≤ {}, got {}", kMaxHeadDim, out.head_dim));
  }
}

}  // namespace

LlamaConfig read_llama_config(const JsonObject& config) {
  require_architecture(config);
  config.refuse_misspelt({"attention_bias", "head_dim", "hidden_act", "mlp_bias", "num_key_value_heads",
                          "quantization_config", "rms_norm_eps", "rope_parameters", "rope_scaling",
                          "rope_theta", "tie_word_embeddings", "torch_dtype"});
  LlamaConfig out{};
  out.vocab_size = config.integer("vocab_size", 1, kMaxExtent);
  out.hidden_size = config.integer("hidden_size", 1, kMaxExtent);
  out.intermediate_size = config.integer("intermediate_size", 1, kMaxExtent);
  out.num_layers = config.integer("num_hidden_layers", 1, kMaxLayers);
  out.max_position_embeddings = config.integer("max_position_embeddings", 1, 1 << 30);
  out.rms_norm_eps = config.number("rms_norm_eps", 0.0, 1.0, 1e-6);
  out.tie_word_embeddings = config.boolean("tie_word_embeddings", false);
  out.attention_bias = config.boolean("attention_bias", false);
  out.mlp_bias = config.boolean("mlp_bias", false);
  read_heads(config, out);
  out.dtype = read_dtype(config);
  out.rotary = read_rotary(config);
  out.quantization = Quantization(config);
  return out;
}

}  // namespace zeta::nn
