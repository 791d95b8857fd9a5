#include "tests/unit/kernels/attention_formula.h"

#include <cmath>
#include <limits>

namespace zeta::cpu {
namespace {

struct Dot {
  double value = 0, magnitude = 0;
};

Dot dot(const Values& a, const Values& b, int64_t batch, int64_t i, int64_t ha, int64_t j, int64_t hb) {
  Dot sum;
  for (int64_t d = 0; d < a.dim; ++d) {
    const double term = a.at(batch, i, ha, d) * b.at(batch, j, hb, d);
    sum.value += term;
    sum.magnitude += std::abs(term);
  }
  return sum;
}

// target[i] += weight · source[j], with the magnitudes beside.
void add(Values& target, Values& magnitude, int64_t b, int64_t i, int64_t h, double weight,
         double weight_magnitude, const Values& source, int64_t j, int64_t source_head) {
  for (int64_t d = 0; d < target.dim; ++d) {
    target.at(b, i, h, d) += weight * source.at(b, j, source_head, d);
    magnitude.at(b, i, h, d) += weight_magnitude * std::abs(source.at(b, j, source_head, d));
  }
}

}  // namespace

Formula::Result Formula::operator()(const Values& q, const Values& k, const Values& v,
                                    const Values& grad_out) const {
  const AttentionShape& s = shape;
  const Values like_q(s.batch, s.seq_q, s.num_heads, s.head_dim),
      like_k(s.batch, s.seq_k, s.num_kv_heads, s.head_dim);
  const Values like_v(s.batch, s.seq_k, s.num_kv_heads, s.value_dim);
  Values out(s.batch, s.seq_q, s.num_heads, s.value_dim), ignored = out;
  Result r{out, like_q, like_k, like_v, like_q, like_k, like_v, {}, {}};
  r.grad_scores.resize(static_cast<size_t>(s.batch * s.num_heads * s.seq_q * s.seq_k));
  const auto keys = static_cast<size_t>(s.seq_k);
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.num_heads; ++h)
      for (int64_t i = 0; i < s.seq_q; ++i) {
        const int64_t g = h / (s.num_heads / s.num_kv_heads);
        std::vector<double> p(keys, 0), slope(keys, 1);
        double maximum = sink(h), sum = 0;
        for (int64_t j = 0; j < s.seq_k; ++j) {
          double score = scale * dot(q, k, b, i, h, j, g).value;
          if (softcap > 0) {
            const double t = std::tanh(score / softcap);
            score = softcap * t;
            slope[j] = 1 - t * t;
          }
          p[j] = allowed(b, h, i, j) ? score + added(b, h, i, j) : -INFINITY;
          maximum = std::max(maximum, p[j]);
        }
        if (maximum == -INFINITY) {
          r.lse.push_back(-INFINITY);
          continue;
        }
        for (double& x : p) sum += x = std::exp(x - maximum);
        sum += std::exp(sink(h) - maximum);
        for (double& x : p) x /= sum;
        r.lse.push_back(maximum + std::log(sum));
        for (int64_t j = 0; j < s.seq_k; ++j)
          add(r.out, ignored, b, i, h, p[j] * kept(b, h, i, j), p[j], v, j, g);
        const Dot row = dot(grad_out, r.out, b, i, h, i, h);
        for (int64_t j = 0; j < s.seq_k; ++j) {
          const Dot dp = dot(grad_out, v, b, i, h, j, g);
          const double factor = kept(b, h, i, j);
          const double dx = p[j] * (factor * dp.value - row.value);
          const double ds = dx * slope[j] * scale;
          const double ds_magnitude = p[j] * (factor * dp.magnitude + row.magnitude) * scale;
          r.grad_scores[static_cast<size_t>(((b * s.num_heads + h) * s.seq_q + i) * s.seq_k + j)] = dx;
          add(r.grad_v, r.grad_v_magnitude, b, j, g, p[j] * factor, p[j] * factor, grad_out, i, h);
          add(r.grad_q, r.grad_q_magnitude, b, i, h, ds, ds_magnitude, k, j, g);
          add(r.grad_k, r.grad_k_magnitude, b, j, g, ds, ds_magnitude, q, i, h);
        }
      }
  return r;
}

}  // namespace zeta::cpu
