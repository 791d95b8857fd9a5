#include "src/nn/llama.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/silu.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <cstring>

#include "src/ops/flash_attention.h"

namespace zeta::nn {

// One pass: the chunks, and what all layers share.
struct LlamaModel::Step {
  std::span<const SequenceChunk> chunks;
  int64_t tokens = 0;
  at::Tensor angles;
};

KvCache LlamaModel::make_cache(int64_t max_tokens) const {
  const c10::InferenceMode guard;
  return {config_.num_layers, config_.num_kv_heads, config_.head_dim, dtype_, max_tokens};
}

int64_t LlamaModel::kv_bytes_per_token() const {
  const auto element = static_cast<int64_t>(c10::elementSize(dtype_));
  return 2 * config_.num_layers * config_.num_kv_heads * config_.head_dim * element;
}

at::Tensor LlamaModel::forward(std::span<const SequenceChunk> chunks) const {
  const c10::InferenceMode guard;
  Step step{chunks, 0, {}};
  std::vector<int64_t> positions, wanted;
  for (const SequenceChunk& chunk : chunks) {
    for (size_t i = 0; i < chunk.tokens.size(); ++i) {
      positions.push_back(chunk.cache->size() + static_cast<int64_t>(i));
    }
    if (chunk.wants_logits) wanted.push_back(static_cast<int64_t>(positions.size()) - 1);
  }
  step.tokens = static_cast<int64_t>(positions.size());
  step.angles = rotary_.angles(positions, dtype_);

  at::Tensor hidden = embed(step);
  at::Tensor normed = layers_[0].input_norm(hidden);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const RmsNorm& next_norm = i + 1 < layers_.size() ? layers_[i + 1].input_norm : norm_;
    normed = layer.post_attention_norm.add_and_norm(hidden,
                                                    attention(layer, static_cast<int64_t>(i), normed, step));
    normed = next_norm.add_and_norm(hidden, mlp(layer, normed));
  }
  for (const SequenceChunk& chunk : chunks) chunk.cache->advance(static_cast<int64_t>(chunk.tokens.size()));

  std::vector<at::Tensor> rows;
  for (int64_t row : wanted) rows.push_back(normed.narrow(0, row, 1));
  if (rows.empty()) return at::empty({0, config_.vocab_size}, at::kFloat);
  return head_(rows.size() == 1 ? rows[0] : at::cat(rows)).to(at::kFloat);
}

at::Tensor LlamaModel::embed(const Step& step) const {
  at::Tensor out = at::empty({step.tokens, config_.hidden_size}, dtype_);
  const size_t row = static_cast<size_t>(config_.hidden_size) * out.element_size();
  const auto* table = static_cast<const std::byte*>(embedding_.const_data_ptr());
  auto* to = static_cast<std::byte*>(out.mutable_data_ptr());
  for (const SequenceChunk& chunk : step.chunks) {
    for (int32_t token : chunk.tokens) {
      TORCH_CHECK_INDEX(token >= 0 && token < config_.vocab_size, "expected token ids from 0 to ",
                        config_.vocab_size - 1, ", got ", token);
      std::memcpy(to, table + static_cast<size_t>(token) * row, row);
      to += row;
    }
  }
  return out;
}

at::Tensor LlamaModel::attention(const Layer& layer, int64_t index, const at::Tensor& x,
                                 const Step& step) const {
  const int64_t head_dim = config_.head_dim;
  at::Tensor q = layer.q(x).view({step.tokens, config_.num_heads, head_dim});
  at::Tensor k = layer.k(x).view({step.tokens, config_.num_kv_heads, head_dim});
  const at::Tensor v = layer.v(x).view({step.tokens, config_.num_kv_heads, head_dim});
  Rotary::apply(step.angles, q);
  Rotary::apply(step.angles, k);

  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  std::vector<at::Tensor> parts;
  int64_t begin = 0;
  for (const SequenceChunk& chunk : step.chunks) {
    const auto n = static_cast<int64_t>(chunk.tokens.size());
    const int64_t total = chunk.cache->size() + n;
    chunk.cache->append(index, k.narrow(0, begin, n), v.narrow(0, begin, n));
    parts.push_back(std::get<0>(ops::flash_attention_forward(
        q.narrow(0, begin, n).unsqueeze(0), chunk.cache->keys(index, total),
        chunk.cache->values(index, total), std::nullopt, scale, /*causal=*/true)));
    begin += n;
  }
  const at::Tensor all = parts.size() == 1 ? parts[0] : at::cat(parts, 1);
  return layer.o(all.reshape({step.tokens, config_.num_heads * head_dim}));
}

at::Tensor LlamaModel::mlp(const Layer& layer, const at::Tensor& x) {
  at::Tensor gate = layer.gate(x);
  return layer.down(at::silu_(gate).mul_(layer.up(x)));
}

}  // namespace zeta::nn
