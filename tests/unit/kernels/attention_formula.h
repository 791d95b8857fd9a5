// Attention and its gradients by the plain formula in float64, for tests. Every quantity comes with the sum
// of the absolute values of its terms, which rounding errors are proportional to.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cpu/attention/attention.h"

namespace zeta::cpu {

// Contiguous (batch, seq, heads, dim).
struct Values {
  int64_t seq, heads, dim;
  std::vector<double> data;

  Values(int64_t batch, int64_t seq_, int64_t heads_, int64_t dim_)
      : seq(seq_), heads(heads_), dim(dim_), data(static_cast<size_t>(batch * seq_ * heads_ * dim_)) {}
  double& at(int64_t b, int64_t s, int64_t h, int64_t d) {
    return data[static_cast<size_t>(((b * seq + s) * heads + h) * dim + d)];
  }
  double at(int64_t b, int64_t s, int64_t h, int64_t d) const {
    return const_cast<Values*>(this)->at(b, s, h, d);
  }
};

struct Formula {
  AttentionShape shape;
  double scale;
  std::function<bool(int64_t b, int64_t h, int64_t i, int64_t j)> allowed;

  struct Result {
    Values out, grad_q, grad_k, grad_v;
    Values grad_q_magnitude, grad_k_magnitude, grad_v_magnitude;
    std::vector<double> lse;
  };
  Result operator()(const Values& q, const Values& k, const Values& v, const Values& grad_out) const;
};

}  // namespace zeta::cpu
