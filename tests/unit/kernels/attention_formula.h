// Attention and its gradients by the plain formula in float64, for tests. Every quantity comes with the sum
// of the absolute values of its terms, which rounding errors are proportional to.
#pragma once

#include <cmath>
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
  template <class R>
  using OfPair = std::function<R(int64_t b, int64_t h, int64_t i, int64_t j)>;

  AttentionShape shape;
  double scale;
  OfPair<bool> allowed;
  double softcap = 0;
  OfPair<double> added = [](auto...) { return 0.0; };
  OfPair<double> kept = [](auto...) { return 1.0; };  // dropout's factor
  std::function<double(int64_t h)> sink = [](auto...) { return -INFINITY; };

  struct Result {
    Values out, grad_q, grad_k, grad_v;
    Values grad_q_magnitude, grad_k_magnitude, grad_v_magnitude;
    std::vector<double> lse;
    std::vector<double> grad_scores;  // (batch, heads, seq_q, seq_k), of what is added
  };
  Result operator()(const Values& q, const Values& k, const Values& v, const Values& grad_out) const;
};

}  // namespace zeta::cpu
