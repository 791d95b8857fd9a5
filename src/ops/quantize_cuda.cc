#include "src/ops/quantize_cuda.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "kernels/cuda/quantize/quantize.h"
#include "src/ops/cuda_values.h"

namespace zeta::ops {
namespace {

using at::Tensor;

struct WeightOutputs {
  int8_t* codes = nullptr;
  float* scale = nullptr;
  cuda::Output used;
};

void run(const Tensor& weight, Precision precision, int64_t group_size, const WeightOutputs& to) {
  const c10::cuda::CUDAGuard guard(weight.device());
  const auto stream = at::cuda::getCurrentCUDAStream();
  const Tensor w = aligned(weight.scalar_type() == at::kDouble ? weight.to(at::kFloat) : weight);
  switch (precision) {
    case Precision::kTernary: {
      const Tensor workspace = at::empty({cuda::kTernaryWorkspace}, w.options().dtype(at::kByte));
      C10_CUDA_CHECK(cuda::quantize_ternary(cuda_values(w), w.numel(), cuda_dtype(weight.scalar_type()),
                                            to.codes, to.scale, to.used, workspace.mutable_data_ptr(),
                                            stream));
      return;
    }
    case Precision::kInt4:
      C10_CUDA_CHECK(
          cuda::quantize_int4(cuda_values(w), w.numel(), group_size, to.codes, to.scale, to.used, stream));
      return;
  }
}

std::tuple<Tensor, Tensor> forward(const Tensor& weight, std::string_view name, int64_t group_size) {
  const Precision precision = parse_precision(name);
  check_weight(weight, precision, group_size);
  auto [codes, scale] = quantize_weight_cuda(weight, precision, group_size);
  return {codes, scale};
}

}  // namespace

QuantizedWeight quantize_weight_cuda(const Tensor& weight, Precision precision, int64_t group_size) {
  const auto options = weight.options().dtype(at::kFloat);
  QuantizedWeight q{at::empty(weight.sizes(), weight.options().dtype(at::kChar)),
                    precision == Precision::kTernary
                        ? at::empty({1}, options)
                        : at::empty({weight.size(0), weight.size(1) / group_size}, options)};
  run(weight, precision, group_size,
      {q.codes.mutable_data_ptr<int8_t>(), q.scale.mutable_data_ptr<float>(), {}});
  return q;
}

Tensor weight_used_cuda(const Tensor& weight, Precision precision, int64_t group_size, at::ScalarType dtype) {
  Tensor used = at::empty(weight.sizes(), weight.options().dtype(dtype));
  run(weight, precision, group_size, {nullptr, nullptr, cuda_output(used)});
  return used;
}

QuantizedActivation quantize_activation_cuda(const Tensor& x) {
  const c10::cuda::CUDAGuard guard(x.device());
  const Tensor rows = aligned(x);
  QuantizedActivation q{at::empty(x.sizes(), x.options().dtype(at::kChar)),
                        at::empty({x.size(0), 1}, x.options().dtype(at::kFloat)),
                        {}};
  C10_CUDA_CHECK(
      cuda::quantize_activation(cuda_values(rows), x.size(0), x.size(1), q.codes.mutable_data_ptr<int8_t>(),
                                q.scale.mutable_data_ptr<float>(), at::cuda::getCurrentCUDAStream()));
  return q;
}

Tensor dequantize_activation_cuda(const Tensor& codes, const Tensor& scale, at::ScalarType dtype) {
  const c10::cuda::CUDAGuard guard(codes.device());
  const Tensor rows = aligned(codes.reshape({-1, codes.size(-1)})), scales = scale.contiguous();
  Tensor used = at::empty(rows.sizes(), rows.options().dtype(dtype));
  C10_CUDA_CHECK(cuda::dequantize_activation(rows.const_data_ptr<int8_t>(), scales.const_data_ptr<float>(),
                                             rows.size(0), rows.size(1), cuda_output(used),
                                             at::cuda::getCurrentCUDAStream()));
  return used;
}

}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CUDA, m) { m.impl("quantize_weight", zeta::ops::forward); }
