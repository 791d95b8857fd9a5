#include "src/ops/flash_attention_dispatch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "src/ops/flash_attention_cuda_operands.h"

namespace zeta::ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// Where cuDNN took less of the GPU's time than we, in the best and in the middle rounds of a run, and by more
// than clocks vary: docs/benchmarks/gpu.md has the figures. A row goes when our kernel has overtaken it.
struct Faster {
  bool causal;
  int64_t head_dim;
  int64_t least, most;  // tokens of a sequence
};
constexpr Faster kCudnnIsFaster[] = {
    {true, 64, 256, 1024},
};

bool own_kernels_only() {
  const char* variable = std::getenv("ZETA_ATTENTION_DISPATCH");
  const std::string value = variable == nullptr ? "" : variable;
  TORCH_CHECK_VALUE(value.empty() || value == "own", "ZETA_ATTENTION_DISPATCH=", value, ": expected own");
  return !value.empty();
}

// Causality is aligned top-left there, heads are as many as kv heads in what was measured.
bool use_cudnn(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& mask, double scale,
               bool causal, const AttentionOptions& options) {
  if (own_kernels_only() || mask || !options.plain() || scale <= 0 || q.numel() == 0 ||
      !at::isReducedFloatingType(q.scalar_type()) || !at::globalContext().userEnabledCuDNNSDP())
    return false;
  if (q.size(1) != k.size(1) || q.size(2) != k.size(2) || q.size(3) != v.size(3)) return false;
  return std::any_of(std::begin(kCudnnIsFaster), std::end(kCudnnIsFaster), [&](const Faster& row) {
    return row.causal == causal && row.head_dim == q.size(3) && row.least <= q.size(1) &&
           q.size(1) <= row.most;
  });
}

Tensor heads_first(const Tensor& t) { return hopper_readable(t).transpose(1, 2); }
Tensor heads_last(const Tensor& t) { return t.transpose(1, 2).contiguous(); }

}  // namespace

std::optional<std::tuple<Tensor, Tensor>> flash_attention_forward_cudnn(const Tensor& q, const Tensor& k,
                                                                        const Tensor& v,
                                                                        const OptionalTensor& mask,
                                                                        double scale, bool causal,
                                                                        const AttentionOptions& options) {
  if (!use_cudnn(q, k, v, mask, scale, causal, options)) return {};
  const auto results = at::_scaled_dot_product_cudnn_attention(heads_first(q), heads_first(k), heads_first(v),
                                                               {}, true, 0, causal, false, scale);
  return std::tuple(heads_last(std::get<0>(results)),
                    std::get<1>(results).reshape({q.size(0), q.size(2), q.size(1)}));
}

}  // namespace zeta::ops
