#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <torch/library.h>

#include <algorithm>

#include "kernels/cuda/packed_linear/packed_linear.h"
#include "src/ops/linear_shape.h"
#include "src/ops/packed_linear.h"

namespace zeta::ops {
namespace {

using at::Tensor;

cuda::Values values(const Tensor& tensor) {
  const auto type = tensor.scalar_type();
  return {tensor.const_data_ptr(), type == at::kHalf       ? cuda::Dtype::kHalf
                                   : type == at::kBFloat16 ? cuda::Dtype::kBFloat16
                                                           : cuda::Dtype::kFloat};
}

// As the kernels can read it.
Tensor readable(const Tensor& tensor) {
  return (tensor.scalar_type() == at::kDouble ? tensor.to(at::kFloat) : tensor).contiguous();
}

// Kernels load 16 bytes at once, where a slice of a larger tensor need not start at 16.
Tensor aligned(const Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0 ? tensor : tensor.clone();
}

template <typename T>
const T* data(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T, typename Layer>
void run(const Layer& layer, const Tensor& x, Tensor& out) {
  size_t bytes = 0;
  C10_CUDA_CHECK(cuda::workspace_bytes(layer, data<T>(x), bytes));
  Tensor workspace;
  if (bytes > 0) workspace = at::empty({static_cast<int64_t>(bytes)}, x.options().dtype(at::kByte));
  C10_CUDA_CHECK(cuda::packed_linear(layer, data<T>(x), static_cast<T*>(out.mutable_data_ptr()),
                                     bytes > 0 ? workspace.mutable_data_ptr() : nullptr,
                                     at::cuda::getCurrentCUDAStream()));
}

// Ŵ in slices, of a size that leaves the library's product enough to do.
template <typename T>
void multiply_dense(const cuda::Int4Linear& layer, const Tensor& x, const Tensor& bias, Tensor& out) {
  constexpr int64_t kSliceBytes = 256 << 20;
  const int64_t row_bytes = layer.in_features * static_cast<int64_t>(sizeof(T));
  const int64_t slice = std::clamp<int64_t>(kSliceBytes / row_bytes / 128 * 128, 128, layer.out_features);
  const Tensor weight = at::empty({slice, layer.in_features}, x.options());
  for (int64_t first = 0; first < layer.out_features; first += slice) {
    const int64_t count = std::min(slice, layer.out_features - first);
    C10_CUDA_CHECK(cuda::unpack(layer, first, count, static_cast<T*>(weight.mutable_data_ptr()),
                                at::cuda::getCurrentCUDAStream()));
    const Tensor product = weight.narrow(0, 0, count).t();
    Tensor part = out.narrow(1, first, count);
    if (!bias.defined()) {
      at::mm_out(part, x, product);
    } else {  // rounded once, after the bias
      const bool wide = x.scalar_type() == at::kFloat;
      part.copy_(
          (wide ? at::mm(x, product) : at::mm(x, product, at::kFloat)).add_(bias.narrow(0, first, count)));
    }
  }
}

template <typename T>
void run(PackedFormat format, const Tensor& x, const Tensor& packed, const Tensor& scale, const Tensor& bias,
         Tensor& out) {
  const auto* const codes = static_cast<const uint8_t*>(packed.const_data_ptr());
  const cuda::Values offset = bias.defined() ? values(bias) : cuda::Values{};
  const int64_t rows = x.size(0), in_features = x.size(1), out_features = out.size(1);
  if (format == PackedFormat::kTernary) {
    run<T>(cuda::TernaryLinear{codes, values(scale), offset, rows, in_features, out_features}, x, out);
  } else {
    const int64_t group_size = in_features / scale.size(1);
    const cuda::Int4Linear layer{codes, values(scale), offset, rows, in_features, out_features, group_size};
    bool dense = false;
    C10_CUDA_CHECK(cuda::prefers_dense(layer, data<T>(x), dense));
    if (dense) return multiply_dense<T>(layer, x, bias, out);
    run<T>(layer, x, out);
  }
}

Tensor forward_cuda(const Tensor& x, const Tensor& packed, const Tensor& scale,
                    const std::optional<Tensor>& bias, std::string_view name, c10::SymInt out_features) {
  const PackedFormat format = check_packed_linear(x, packed, scale, bias, name, out_features);
  const c10::cuda::CUDAGuard guard(x.device());
  if (format != PackedFormat::kTernary && format != PackedFormat::kInt4)
    return packed_linear_aten(x, packed, scale, bias, name, out_features);
  const Tensor rows = aligned(x.reshape({-1, x.size(-1)}).contiguous());
  const Tensor scales = readable(scale);
  const Tensor offset = bias ? readable(*bias) : Tensor();
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
