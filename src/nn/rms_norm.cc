#include "src/nn/rms_norm.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>

#include <cmath>

namespace zeta::nn {
namespace {

constexpr int64_t kElementsPerTask = 1 << 15;

template <typename T>
void add_row(const T* delta, int64_t n, T* x) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] + delta[i];
}

template <typename T>
void norm_row(const T* x, const T* weight, float eps, int64_t n, T* y) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += static_cast<float>(x[i]) * static_cast<float>(x[i]);
  const float inverse = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = weight[i] * static_cast<T>(static_cast<float>(x[i]) * inverse);
}

}  // namespace

at::Tensor RmsNorm::run(const at::Tensor& x, const at::Tensor* delta) const {
  const int64_t rows = x.size(0), n = x.size(1);
  at::Tensor y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "rms_norm", [&] {
    auto* x_data = x.mutable_data_ptr<scalar_t>();
    const auto* delta_data = delta ? delta->const_data_ptr<scalar_t>() : nullptr;
    const auto* weight = weight_.const_data_ptr<scalar_t>();
    auto* y_data = y.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, rows, std::max<int64_t>(1, kElementsPerTask / n), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        scalar_t* row = x_data + r * n;
        if (delta_data) add_row(delta_data + r * n, n, row);
        norm_row(row, weight, static_cast<float>(eps_), n, y_data + r * n);
      }
    });
  });
  return y;
}

at::Tensor RmsNorm::operator()(const at::Tensor& x) const { return run(x, nullptr); }

at::Tensor RmsNorm::add_and_norm(at::Tensor& x, const at::Tensor& delta) const { return run(x, &delta); }

}  // namespace zeta::nn
