#include <algorithm>

#include "kernels/cuda/hopper/tensor_map.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/scaled_product/kernel_sm90.cuh"
#include "kernels/cuda/scaled_product/scaled_product.h"

namespace zeta::cuda {
namespace {

// The copy engine moves bytes: to it rows of bytes are rows of half as many 2-byte elements.
hopper::HalfTensor byte_rows(const void* data, int64_t rows, int64_t columns) {
  return {data, columns / 2, rows, 1, 1, columns / 2, 0, 0};
}

bool fits(const ScaledProduct& p) {
  constexpr int64_t kMost = int64_t{1} << 30;
  const auto aligned = [](const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; };
  return p.k > 0 && p.n > 0 && p.k % 16 == 0 && p.n % 8 == 0 && p.m < kMost && p.n < kMost && p.k < kMost &&
         (p.m / 256 + 1) * (p.n / 256 + 1) < kMost && aligned(p.a) && aligned(p.b) && aligned(p.y.data);
}

template <typename T, class Scaling, typename Sum>
cudaError_t run_as(const ScaledProduct& product, cudaStream_t stream) {
  if (product.m == 0) return cudaSuccess;
  Device device;
  if (const auto error = current_device(device)) return error;
  if (!device.hopper) return cudaErrorNotSupported;
  if (!fits(product)) return cudaErrorInvalidValue;
  ProductParams p;
  for (const auto error :
       {hopper::map_boxes(&p.a, byte_rows(product.a, product.m, product.k), kTileRows),
        hopper::map_boxes(&p.b, byte_rows(product.b, product.n, product.k), kTileColumns / kPair)})
    if (error != cudaSuccess) return error;
  p.a_scale = product.a_scale;
  p.b_scale = product.b_scale;
  p.bias = product.bias;
  p.y = product.y.data;
  p.m = static_cast<int>(product.m);
  p.n = static_cast<int>(product.n);
  p.k = static_cast<int>(product.k);
  p.row_pairs = (p.m + kPair * kTileRows - 1) / (kPair * kTileRows);
  p.columns = (p.n + kTileColumns - 1) / kTileColumns;
  Launch how;
  how.grid = dim3(kPair * std::min(p.row_pairs * p.columns, device.multiprocessors / kPair));
  how.block = dim3(128 * (1 + kConsumers));
  how.cluster = kPair;
  how.shared = sizeof(Stages) + 1024;
  return launch(how, stream, scaled_product_kernel<T, Scaling, Sum>, p);
}

template <class Scaling, typename Sum>
cudaError_t run(const ScaledProduct& product, cudaStream_t stream) {
  switch (product.y.dtype) {
    case Dtype::kHalf:
      return run_as<__half, Scaling, Sum>(product, stream);
    case Dtype::kBFloat16:
      return run_as<__nv_bfloat16, Scaling, Sum>(product, stream);
    default:
      return run_as<float, Scaling, Sum>(product, stream);
  }
}

}  // namespace

cudaError_t scaled_product_int8(const ScaledProduct& product, cudaStream_t stream) {
  return run<Int8Scaling, int>(product, stream);
}

cudaError_t scaled_product_fp8(const ScaledProduct& product, cudaStream_t stream) {
  return run<Fp8Scaling, float>(product, stream);
}

}  // namespace zeta::cuda
