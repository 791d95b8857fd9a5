#include "kernels/cuda/packed_linear/int4_simple.cuh"
#include "kernels/cuda/packed_linear/int4_tensor.cuh"
#include "kernels/cuda/packed_linear/int4_wide.cuh"
#include "kernels/cuda/packed_linear/packed_linear.h"

namespace zeta::cuda {
namespace {

constexpr int kNarrow = 16;  // rows of x up to which the weights are read at the memory's speed without wgmma

constexpr int kLong = 16384;  // in_features from which fewer warps, that take more at once, do better

enum class Path { kSimple, kNarrow, kWide };

Path path_of(const Int4Linear& p, const void* x, size_t element, const Device& device) {
  const auto aligned = [](const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; };
  if (element != 2 || p.group_size % 32 != 0 || p.out_features < 32 || p.in_features >= 1 << 21 ||
      p.rows >= int64_t{1} << 31 || !aligned(p.packed) || !aligned(x))
    return Path::kSimple;
  const int64_t scales = p.out_features * (p.in_features / p.group_size);
  if (reinterpret_cast<uintptr_t>(p.scale.data) % 4 != 0 ||
      (p.scale.dtype == Dtype::kBFloat16 && scales % 2 != 0))
    return Path::kSimple;
  const bool wide = device.hopper && p.rows > kNarrow && p.group_size % 128 == 0 && p.out_features >= 64;
  return wide ? Path::kWide : Path::kNarrow;
}

template <typename T, typename S, typename Shape>
cudaError_t narrow(Int4Problem p, const Device& device, cudaStream_t stream, int warps = kMaxWarps) {
  const int64_t tiles =
      int64_t{(p.n + Shape::kRows - 1) / Shape::kRows} * ((p.rows + Shape::kTokens - 1) / Shape::kTokens);
  const Split split =
      split_steps(tiles, (p.k + Shape::kSpan - 1) / Shape::kSpan,
                  std::max(16 * Shape::kRing, 4 * Shape::kTokens * (Shape::kRows + 4)), device, warps);
  p.per_group = reciprocal(p.group_size * Shape::kParts / kStep);
  return launch_int4_tensor<T, S, Shape>(p, device, split, stream);
}

template <typename T, typename S>
cudaError_t narrow_by_group(const Int4Problem& p, const Device& device, cudaStream_t stream) {
  if (p.group_size % 128 == 0) {
    if (p.rows == 1 && p.k < kLong) return narrow<T, S, Int4Shape<1, 1, 1, 2, 2, true>>(p, device, stream);
    if (p.rows <= 8)
      return narrow<T, S, Int4Shape<2, 1, 1, 2, 2>>(p, device, stream, p.k < kLong ? kMaxWarps : 12);
    return narrow<T, S, Int4Shape<2, 2, 1, 2, 2>>(p, device, stream);
  }
  return p.group_size % 64 == 0 ? narrow<T, S, Int4Shape<2, 2, 2, 1, 2>>(p, device, stream)
                                : narrow<T, S, Int4Shape<2, 2, 4, 1, 2>>(p, device, stream);
}

WideSplit wide_split(const Int4Linear& p, const Device& device) {
  return split_wide(static_cast<int>(p.out_features), 64, wide_threads(wide_tokens(p.rows)) / 128, p.rows,
                    wide_tokens(p.rows), static_cast<int>((p.in_features + kStep - 1) / kStep),
                    device.multiprocessors);
}

// The workspace holds counters, x arranged, partial sums.
template <typename T, typename S, int kTokens>
cudaError_t wide(Int4Problem p, const WideSplit& split, void* workspace, cudaStream_t stream) {
  uint8_t* const start = static_cast<uint8_t*>(workspace) + split.counter_bytes();
  const TileSums sums = {static_cast<int*>(workspace), start + arranged_bytes<T>(p.rows, p.k, kTokens)};
  const Cleared cleared = {sums.finished, split.tiles * split.token_tiles};
  const auto error =
      arrange(static_cast<const T*>(p.x), reinterpret_cast<T*>(start), p.rows, p.k, kTokens, cleared, stream);
  if (error != cudaSuccess) return error;
  p.x = start;
  p.per_group = reciprocal(p.group_size / kStep);
  return launch_int4_wide<T, S, kTokens>(p, split, sums, stream);
}

template <typename T, typename S>
cudaError_t tensor(const Int4Linear& layer, const Int4Problem& p, Path path, const Device& device,
                   void* workspace, cudaStream_t stream) {
  if (path == Path::kNarrow) return narrow_by_group<T, S>(p, device, stream);
  const WideSplit split = wide_split(layer, device);
  switch (wide_tokens(p.rows)) {
    case 32:
      return wide<T, S, 32>(p, split, workspace, stream);
    case 64:
      return wide<T, S, 64>(p, split, workspace, stream);
    default:
      return wide<T, S, 128>(p, split, workspace, stream);
  }
}

}  // namespace

template <typename T>
cudaError_t prefers_dense(const Int4Linear& layer, const T* x, bool& dense) {
  Device device;
  if (const auto error = current_device(device)) return error;
  switch (path_of(layer, x, sizeof(T), device)) {
    case Path::kSimple:
      dense = layer.rows > 16;
      break;
    case Path::kNarrow:
      dense = layer.rows > 64;
      break;
    case Path::kWide:
      dense = layer.rows >= 1024;
  }
  return cudaSuccess;
}

template <typename T>
cudaError_t workspace_bytes(const Int4Linear& layer, const T* x, size_t& bytes) {
  Device device;
  if (const auto error = current_device(device)) return error;
  bytes = 0;
  if (path_of(layer, x, sizeof(T), device) != Path::kWide) return cudaSuccess;
  const WideSplit split = wide_split(layer, device);
  bytes = split.counter_bytes() + arranged_bytes<T>(layer.rows, layer.in_features, wide_tokens(layer.rows)) +
          split.partial_bytes(wide_tokens(layer.rows));
  return cudaSuccess;
}

template <typename T>
cudaError_t packed_linear(const Int4Linear& layer, const T* x, T* y, void* workspace, cudaStream_t stream) {
  if (layer.rows == 0) return cudaSuccess;
  Device device;
  if (const auto error = current_device(device)) return error;
  const Path path = path_of(layer, x, sizeof(T), device);
  if constexpr (sizeof(T) == 2) {
    if (path != Path::kSimple) {
      const Int4Problem p = {x,
                             layer.packed,
                             layer.scale.data,
                             layer.bias,
                             y,
                             static_cast<int>(layer.rows),
                             static_cast<int>(layer.in_features),
                             static_cast<int>(layer.out_features),
                             static_cast<int>(layer.group_size),
                             0};
      return layer.scale.dtype == Dtype::kFloat
                 ? tensor<T, float>(layer, p, path, device, workspace, stream)
                 : tensor<T, __nv_bfloat16>(layer, p, path, device, workspace, stream);
    }
  }
  return launch(simple_launch(layer.out_features, layer.rows), stream, int4_simple_kernel<T>, layer, x, y);
}

#define ZETA_INSTANTIATE(T)                                                      \
  template cudaError_t prefers_dense<T>(const Int4Linear&, const T*, bool&);     \
  template cudaError_t workspace_bytes<T>(const Int4Linear&, const T*, size_t&); \
  template cudaError_t packed_linear<T>(const Int4Linear&, const T*, T*, void*, cudaStream_t);
ZETA_INSTANTIATE(float)
ZETA_INSTANTIATE(__half)
ZETA_INSTANTIATE(__nv_bfloat16)
#undef ZETA_INSTANTIATE

}  // namespace zeta::cuda
