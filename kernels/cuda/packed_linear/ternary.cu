#include "kernels/cuda/packed_linear/packed_linear.h"
#include "kernels/cuda/packed_linear/quantize_rows.cuh"
#include "kernels/cuda/packed_linear/ternary_simple.cuh"
#include "kernels/cuda/packed_linear/ternary_tensor.cuh"
#include "kernels/cuda/packed_linear/ternary_wide.cuh"

namespace zeta::cuda {
namespace {

constexpr int kNarrow = 16;  // rows of x up to which the weights are read at the memory's speed without wgmma
constexpr int kOwn = 16384;  // in_features up to which each block quantises a single row for itself

// kOwn: a single row, quantised by the kernel that multiplies.
enum class Path { kSimple, kOwn, kNarrow, kWide };

Path path_of(const TernaryLinear& p, const void* x, const Device& device) {
  const auto aligned = [](const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; };
  if (p.in_features % 16 != 0 || p.out_features < 64 || p.rows >= int64_t{1} << 31 || !aligned(p.packed) ||
      !aligned(x))
    return Path::kSimple;
  if (p.rows == 1 && p.in_features <= kOwn) return Path::kOwn;
  return device.hopper && p.rows > kNarrow && p.out_features >= 128 ? Path::kWide : Path::kNarrow;
}

WideSplit wide_split(const TernaryLinear& p, const Device& device) {
  return split_wide(static_cast<int>(p.out_features), 128, wide_tokens(p.rows) <= 64 ? 4 : 2, p.rows,
                    wide_tokens(p.rows), static_cast<int>((p.in_features + kStep - 1) / kStep),
                    device.multiprocessors);
}

int row_stride(int64_t k) { return static_cast<int>((k + 15) / 16 * 16); }

// What lies in the workspace, in this order, each at a multiple of 128 bytes.
struct Workspace {
  size_t scale, sum, counters, codes, partial;  // bytes of each
  size_t total() const { return scale + sum + counters + codes + partial; }
};

Workspace workspace_of(const TernaryLinear& p, Path path, const Device& device) {
  if (path == Path::kOwn) return {};
  const size_t words = static_cast<size_t>((p.rows + 31) / 32 * 32 * 4);
  if (path != Path::kWide)
    return {words, words, 0, static_cast<size_t>(p.rows * row_stride(p.in_features)), 0};
  const WideSplit split = wide_split(p, device);
  return {words, words, split.counter_bytes(),
          arranged_bytes<int8_t>(p.rows, p.in_features, wide_tokens(p.rows)),
          split.partial_bytes(wide_tokens(p.rows))};
}

template <typename T, typename Shape>
cudaError_t narrow(const TernaryProblem& p, const Device& device, cudaStream_t stream) {
  const int64_t tiles = int64_t{(p.n / 4 + Shape::kPackedRows - 1) / Shape::kPackedRows} *
                        ((p.rows + Shape::kTokens - 1) / Shape::kTokens);
  const Split split = split_steps(
      tiles, (p.k + Shape::kSpan - 1) / Shape::kSpan,
      std::max(512 * Shape::kStages * Shape::kLoads, 4 * Shape::kTokens * (Shape::kRows + 4)), device);
  return launch_ternary_tensor<T, Shape>(p, device, split, stream);
}

// Quantises x into the workspace, in the order that the path wants.
template <typename T>
cudaError_t quantize(const T* x, int64_t rows, int k, Path path, int8_t* codes, float* scale, int32_t* sum,
                     const Cleared& cleared, const Device& device, cudaStream_t stream) {
  const int steps = (k + kStep - 1) / kStep;
  const CodeRows by_rows{codes, row_stride(k)};
  switch (path) {
    case Path::kWide:
      return quantize_rows<true>(
          x, rows, k, steps * kStep,
          ArrangedCodes{reinterpret_cast<uint8_t*>(codes), wide_tokens(rows), steps, cleared}, scale, sum,
          device, stream);
    case Path::kNarrow:
      return quantize_rows<true>(x, rows, k, k, by_rows, scale, sum, device, stream);
    default:
      return quantize_rows<false>(x, rows, k, row_stride(k), by_rows, scale, sum, device, stream);
  }
}

}  // namespace

template <typename T>
cudaError_t workspace_bytes(const TernaryLinear& layer, const T* x, size_t& bytes) {
  Device device;
  if (const auto error = current_device(device)) return error;
  bytes = workspace_of(layer, path_of(layer, x, device), device).total();
  return cudaSuccess;
}

template <typename T>
cudaError_t packed_linear(const TernaryLinear& layer, const T* x, T* y, void* workspace,
                          cudaStream_t stream) {
  if (layer.rows == 0) return cudaSuccess;
  Device device;
  if (const auto error = current_device(device)) return error;
  const Path path = path_of(layer, x, device);
  const Workspace bytes = workspace_of(layer, path, device);
  auto* at = static_cast<uint8_t*>(workspace);
  const auto take = [&](size_t size) { return (at += size) - size; };
  auto* const scale = reinterpret_cast<float*>(take(bytes.scale));
  auto* const sum = reinterpret_cast<int32_t*>(take(bytes.sum));
  auto* const counters = reinterpret_cast<int*>(take(bytes.counters));
  auto* const q = reinterpret_cast<int8_t*>(take(bytes.codes));
  const int k = static_cast<int>(layer.in_features);
  if (path != Path::kOwn) {
    const Cleared cleared = {counters, static_cast<int>(bytes.counters / sizeof(int))};
    const auto error = quantize(x, layer.rows, k, path, q, scale, sum, cleared, device, stream);
    if (error != cudaSuccess) return error;
  }
  if (path == Path::kSimple) {
    const bool whole_words = k % 4 == 0 && reinterpret_cast<uintptr_t>(layer.packed) % 4 == 0;
    return launch(simple_launch(layer.out_features / 4, layer.rows), stream,
                  whole_words ? ternary_simple_kernel<T, true> : ternary_simple_kernel<T, false>, layer,
                  static_cast<const int8_t*>(q), static_cast<const float*>(scale),
                  static_cast<const int32_t*>(sum), y);
  }
  const TernaryProblem p = {x,
                            q,
                            scale,
                            sum,
                            layer.packed,
                            layer.scale,
                            layer.bias,
                            y,
                            static_cast<int>(layer.rows),
                            k,
                            static_cast<int>(layer.out_features)};
  if (path == Path::kOwn) return narrow<T, TernaryShape<1, 4, 1, 2, true>>(p, device, stream);
  if (path == Path::kNarrow) {
    return p.rows <= 8 ? narrow<T, TernaryShape<1, 4, 1, 2, false>>(p, device, stream)
                       : narrow<T, TernaryShape<1, 4, 2, 2, false>>(p, device, stream);
  }
  const WideSplit split = wide_split(layer, device);
  const TileSums sums = {counters, at};
  switch (wide_tokens(p.rows)) {
    case 32:
      return launch_ternary_wide<T, 32>(p, split, sums, stream);
    case 64:
      return launch_ternary_wide<T, 64>(p, split, sums, stream);
    default:
      return launch_ternary_wide<T, 128>(p, split, sums, stream);
  }
}

#define ZETA_INSTANTIATE(T)                                                         \
  template cudaError_t workspace_bytes<T>(const TernaryLinear&, const T*, size_t&); \
  template cudaError_t packed_linear<T>(const TernaryLinear&, const T*, T*, void*, cudaStream_t);
ZETA_INSTANTIATE(float)
ZETA_INSTANTIATE(__half)
ZETA_INSTANTIATE(__nv_bfloat16)
#undef ZETA_INSTANTIATE

}  // namespace zeta::cuda
