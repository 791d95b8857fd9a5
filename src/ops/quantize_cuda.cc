#include "src/ops/quantize_cuda.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "kernels/cuda/quantize/quantize.h"
#include "src/ops/cuda_values.h"
#include "src/ops/quantize_levels.h"
#include "src/ops/quantized_linear.h"

namespace zeta::ops {
namespace {

using at::Tensor;

struct WeightOutputs {
  void* codes = nullptr;
  float* scale = nullptr;
  cuda::Output used;
};

void run(const Tensor& weight, Precision precision, int64_t group_size, const WeightOutputs& to) {
  const c10::cuda::CUDAGuard guard(weight.device());
  const auto stream = at::cuda::getCurrentCUDAStream();
  const Tensor w = aligned(weight.scalar_type() == at::kDouble ? weight.to(at::kFloat) : weight);
  const cuda::Values values = cuda_values(w);
  switch (precision) {
    case Precision::kBinary:
    case Precision::kInt2:
    case Precision::kInt8:
      TORCH_INTERNAL_ASSERT(false, "quantize_levels has this precision");
    case Precision::kTernary: {
      const Tensor workspace = at::empty({cuda::kTernaryWorkspace}, w.options().dtype(at::kByte));
      C10_CUDA_CHECK(cuda::quantize_ternary(values, w.numel(), cuda_dtype(weight.scalar_type()),
                                            static_cast<int8_t*>(to.codes), to.scale, to.used,
                                            workspace.mutable_data_ptr(), stream));
      return;
    }
    case Precision::kInt4:
    case Precision::kW4A8:
      C10_CUDA_CHECK(cuda::quantize_int4(values, w.numel(), group_size, static_cast<int8_t*>(to.codes),
                                         to.scale, to.used, stream));
      return;
    case Precision::kFp8:
      C10_CUDA_CHECK(cuda::quantize_fp8(values, w.size(0), w.size(1), /*round_scale=*/true,
                                        static_cast<uint8_t*>(to.codes), to.scale, to.used, stream));
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
  if (has_levels(precision)) {
    const c10::cuda::CUDAGuard guard(weight.device());
    auto [codes, scale] =
        quantize_levels(weight.to(at::kFloat).contiguous(), precision, weight.scalar_type());
    return {codes, scale};
  }
  const auto options = weight.options();
  QuantizedWeight q{at::empty(weight.sizes(), options.dtype(weight_codes(precision))),
                    at::empty_symint(scale_sizes(weight, precision, group_size), options.dtype(at::kFloat))};
  run(weight, precision, group_size, {q.codes.mutable_data_ptr(), q.scale.mutable_data_ptr<float>(), {}});
  return q;
}

Tensor weight_used_cuda(const Tensor& weight, Precision precision, int64_t group_size, at::ScalarType dtype) {
  if (has_levels(precision)) {
    const auto [codes, scale] = quantize_weight_cuda(weight, precision, group_size);
    return dequantize_weight(codes, scale, dtype);
  }
  Tensor used = at::empty(weight.sizes(), weight.options().dtype(dtype));
  run(weight, precision, group_size, {nullptr, nullptr, cuda_output(used)});
  return used;
}

QuantizedActivation quantize_activation_cuda(const Tensor& x, at::ScalarType type) {
  const c10::cuda::CUDAGuard guard(x.device());
  const auto stream = at::cuda::getCurrentCUDAStream();
  const Tensor rows = aligned(x);
  const QuantizedActivation q{at::empty(x.sizes(), x.options().dtype(type)),
                              at::empty({x.size(0), 1}, x.options().dtype(at::kFloat)),
                              {}};
  void* const codes = q.codes.mutable_data_ptr();
  auto* const scale = q.scale.mutable_data_ptr<float>();
  C10_CUDA_CHECK(type == at::kChar
                     ? cuda::quantize_activation(cuda_values(rows), x.size(0), x.size(1),
                                                 static_cast<int8_t*>(codes), scale, stream)
                     : cuda::quantize_fp8(cuda_values(rows), x.size(0), x.size(1), /*round_scale=*/false,
                                          static_cast<uint8_t*>(codes), scale, {}, stream));
  return q;
}

Tensor dequantize_activation_cuda(const Tensor& codes, const Tensor& scale, at::ScalarType dtype) {
  const c10::cuda::CUDAGuard guard(codes.device());
  const auto stream = at::cuda::getCurrentCUDAStream();
  const Tensor rows = aligned(codes.reshape({-1, codes.size(-1)})), scales = scale.contiguous();
  const void* const from = rows.const_data_ptr();
  const auto* const by = scales.const_data_ptr<float>();
  Tensor used = at::empty(rows.sizes(), rows.options().dtype(dtype));
  C10_CUDA_CHECK(codes.scalar_type() == at::kChar
                     ? cuda::dequantize_activation(static_cast<const int8_t*>(from), by, rows.size(0),
                                                   rows.size(1), cuda_output(used), stream)
                     : cuda::dequantize_fp8(static_cast<const uint8_t*>(from), by, rows.size(0), rows.size(1),
                                            cuda_output(used), stream));
  return used;
}

}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CUDA, m) { m.impl("quantize_weight", zeta::ops::forward); }
