#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <torch/library.h>

#include "kernels/cuda/packed_linear/packed_linear.h"
#include "src/ops/linear_shape.h"
#include "src/ops/packed_linear.h"

namespace zeta::ops {
namespace {

using at::Tensor;

template <typename T>
const T* data(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

const float* data_or_null(const Tensor& tensor) { return tensor.defined() ? data<float>(tensor) : nullptr; }

template <typename T>
void ternary(const Tensor& x, const Tensor& packed, const Tensor& scale, const Tensor& bias, Tensor& out) {
  const int64_t rows = x.size(0), in_features = x.size(1), stride = (in_features + 3) / 4 * 4;
  const auto stream = at::cuda::getCurrentCUDAStream();
  const Tensor q = at::empty({rows, stride}, x.options().dtype(at::kChar));
  const Tensor x_scale = at::empty({rows}, x.options().dtype(at::kFloat));
  const Tensor sum = at::empty({rows}, x.options().dtype(at::kInt));
  C10_CUDA_CHECK(cuda::quantize_rows(data<T>(x), rows, in_features, stride, q.mutable_data_ptr<int8_t>(),
                                     x_scale.mutable_data_ptr<float>(), sum.mutable_data_ptr<int32_t>(),
                                     stream));
  C10_CUDA_CHECK(cuda::ternary_linear(q.const_data_ptr<int8_t>(), data<float>(x_scale), data<int32_t>(sum),
                                      data<uint8_t>(packed), data<float>(scale), data_or_null(bias),
                                      static_cast<T*>(out.mutable_data_ptr()), rows, in_features, out.size(1),
                                      stream));
}

template <typename T>
void int4(const Tensor& x, const Tensor& packed, const Tensor& scale, const Tensor& bias, Tensor& out) {
  C10_CUDA_CHECK(cuda::int4_linear(data<T>(x), data<int32_t>(packed), data<float>(scale), data_or_null(bias),
                                   static_cast<T*>(out.mutable_data_ptr()), x.size(0), x.size(1), out.size(1),
                                   x.size(1) / scale.size(1), at::cuda::getCurrentCUDAStream()));
}

template <typename T>
void run(PackedFormat format, const Tensor& x, const Tensor& packed, const Tensor& scale, const Tensor& bias,
         Tensor& out) {
  (format == PackedFormat::kTernary ? ternary<T> : int4<T>)(x, packed, scale, bias, out);
}

Tensor forward_cuda(const Tensor& x, const Tensor& packed, const Tensor& scale,
                    const std::optional<Tensor>& bias, std::string_view name, c10::SymInt out_features) {
  const PackedFormat format = check_packed_linear(x, packed, scale, bias, name, out_features);
  const c10::cuda::CUDAGuard guard(x.device());
  const Tensor rows = x.reshape({-1, x.size(-1)}).contiguous();
  const Tensor scales = scale.to(at::kFloat).contiguous();
  const Tensor offset = bias ? bias->to(at::kFloat).contiguous() : Tensor();
  Tensor out = at::empty({rows.size(0), out_features.expect_int()}, x.options());
  switch (x.scalar_type()) {
    case at::kFloat:
      run<float>(format, rows, packed, scales, offset, out);
      break;
    case at::kHalf:
      run<__half>(format, rows, packed, scales, offset, out);
      break;
    default:
      run<__nv_bfloat16>(format, rows, packed, scales, offset, out);
      break;
  }
  return out.view_symint(linear_output_sizes(x, out_features));
}

}  // namespace
}  // namespace zeta::ops

TORCH_LIBRARY_IMPL(zeta, CUDA, m) { m.impl("packed_linear", zeta::ops::forward_cuda); }
