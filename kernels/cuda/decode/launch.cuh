// Which kernel, how many blocks, and what goes before.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/decode/decode.cuh"
#include "kernels/cuda/decode/prepare.cuh"
#include "kernels/cuda/launch.cuh"

namespace zeta::cuda {

struct DecodeGrid {
  int blocks;
  int warps;
  bool shares;  // whether any item may be cut
};

// From sizes alone, not from lengths, which only the device knows.
template <class Traits>
cudaError_t decode_grid(const DecodeAttention& a, const Device& device, DecodeGrid& grid) {
  int index, shared;
  if (const auto error = cudaGetDevice(&index)) return error;
  if (const auto error = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerMultiprocessor, index))
    return error;
  grid.warps = std::clamp(device.shared / Traits::kWarpBytes, 1, kDecodeWarps);
  const int block = grid.warps * Traits::kWarpBytes + (2 << 10);  // and what the kernel and the system take
  const int resident = std::clamp(shared / block, 1, Traits::kBlocks);
  const int64_t steps = decode_steps(DecodeTask(a)), room = grid.warps * Traits::kWarpBytes / (4 * kTileRows);
  grid.blocks = static_cast<int>(std::min({steps, room, int64_t{resident} * device.multiprocessors}));
  grid.shares = DecodeTask(a).most_keys > kWholeSteps * kStepKeys;
  return cudaSuccess;
}

template <class T, class C, class Use>
cudaError_t with_traits(const DecodeAttention& a, Use use) {
  const int dim = std::max(a.head_dim, a.value_dim);
  if (dim <= 64) return use(DecodeTraits<T, C, 64>{});
  if (dim <= 128) return use(DecodeTraits<T, C, 128>{});
  return use(DecodeTraits<T, C, 256>{});
}

template <class T, class C>
cudaError_t workspace_of(const DecodeAttention& a, size_t& bytes) {
  Device device;
  if (const auto error = current_device(device)) return error;
  return with_traits<T, C>(a, [&](auto traits) {
    using Traits = decltype(traits);
    DecodeGrid grid;
    if (const auto error = decode_grid<Traits>(a, device, grid)) return error;
    bytes = grid.shares ? DecodeWorkspace<Traits::kDim>::bytes(grid.blocks) : 0;
    return cudaSuccess;
  });
}

template <class T, class C>
cudaError_t run_decode(DecodeAttention a, const DecodeNew& n, cudaStream_t stream) {
  Device device;
  if (const auto error = current_device(device)) return error;
  return with_traits<T, C>(a, [&](auto traits) {
    using Traits = decltype(traits);
    DecodeGrid grid;
    if (const auto error = decode_grid<Traits>(a, device, grid)) return error;
    const bool writes = n.k.data != nullptr || n.cos != nullptr, prepares = writes || grid.shares;
    if (prepares) {
      const unsigned counters = grid.shares ? grid.blocks : 0;
      const auto blocks = static_cast<unsigned>(writes ? a.queries.total : 1);
      if (const auto error = launch<DecodeTask, DecodeNew, unsigned>(
              {dim3(blocks), dim3(256)}, stream, prepare_kernel<T, C>, DecodeTask(a), n, counters))
        return error;
    }
    if (n.cos != nullptr)
      a.q = {n.rotated_q, a.queries.seq_q * a.num_heads * a.head_dim, a.num_heads * a.head_dim, a.head_dim};
    const auto kernel = decode_kernel<Traits>;
    if (const auto error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                cudaFuncAttributePreferredSharedMemoryCarveout,
                                                cudaSharedmemCarveoutMaxShared))
      return error;
    Launch how = {dim3(static_cast<unsigned>(grid.blocks)), dim3(32 * grid.warps)};
    how.shared = static_cast<size_t>(grid.warps) * Traits::kWarpBytes;
    how.overlap = prepares && device.hopper;
    return launch<DecodeTask, bool>(how, stream, kernel, DecodeTask(a), writes);
  });
}

}  // namespace zeta::cuda
