#include "kernels/cpu/attention/attention.h"

#include <memory>
#include <new>

#include "kernels/cpu/attention/block.h"
#include "kernels/cpu/attention/kernels.h"
#include "kernels/cpu/attention/partials.h"
#include "kernels/cpu/attention/scratch.h"

namespace zeta::cpu {
namespace {

struct Release {
  void operator()(std::byte* memory) const {
    ::operator delete[](memory, std::align_val_t(kScratchAlignment));
  }
};
using Scratch = std::unique_ptr<std::byte[], Release>;

Scratch allocate(size_t bytes) { return Scratch(new (std::align_val_t(kScratchAlignment)) std::byte[bytes]); }

const AttentionKernels& kernels(ElementType type, Isa level) {
  if (type == ElementType::kFloat64 || level == Isa::kScalar) return attention_scalar(type);
  if (type == ElementType::kBFloat16 && level >= Isa::kAvx512Bf16) return attention_avx512_bf16();
  return level >= Isa::kAvx512 ? attention_avx512(type) : attention_avx2(type);
}

}  // namespace

int64_t attention_forward_items(const AttentionShape& s) {
  return s.batch * s.num_kv_heads * blocks(row_count(s), kBlockRows);
}

int64_t attention_backward_items(const AttentionShape& s) {
  return s.batch * s.num_kv_heads * query_splits(s);
}

int64_t attention_backward_partials(const AttentionShape& s) {
  return attention_backward_items(s) * s.seq_k *
         (round_up(s.head_dim, kMaxWidth) + round_up(s.value_dim, kMaxWidth));
}

int64_t attention_backward_reduce_items(const AttentionShape& s) {
  return s.batch * s.num_kv_heads * blocks(s.seq_k, kBlockKeys);
}

void attention_forward(const AttentionForward& args, int64_t begin, int64_t end, Isa level) {
  const AttentionKernels& table = kernels(args.inputs.type, level);
  table.forward(args, begin, end, allocate(table.forward_scratch(args)).get());
}

void attention_backward(const AttentionBackward& args, int64_t begin, int64_t end, Isa level) {
  const AttentionKernels& table = kernels(args.inputs.type, level);
  table.backward(args, begin, end, allocate(table.backward_scratch(args)).get());
}

void attention_backward_reduce(const AttentionBackward& args, int64_t begin, int64_t end, Isa level) {
  kernels(args.inputs.type, level).reduce(args, begin, end, nullptr);
}

int64_t attention_bias_gradient_items(const AttentionBiasGradient& bias) {
  return bias.batch * bias.heads * blocks(bias.seq_q, kBlockRows);
}

void attention_bias_gradient(const AttentionBackward& args, const AttentionBiasGradient& bias, int64_t begin,
                             int64_t end, Isa level) {
  const AttentionKernels& table = kernels(args.inputs.type, level);
  table.bias_gradient(args, bias, begin, end, allocate(table.backward_scratch(args)).get());
}

}  // namespace zeta::cpu
