// The bulk tensor copy engine (TMA) of Hopper: boxes of a tensor in global memory to shared memory.
#pragma once

#include <cuda.h>

#include "kernels/cuda/hopper/barrier.cuh"

namespace zeta::cuda::hopper {

// Loads the box at (column, row, head, batch); what lies outside the tensor arrives as zeros. `to` is aligned
// to 1024 bytes where the map swizzles 128 bytes. The bytes of the whole box count on `full`.
__device__ inline void load_box(void* to, const CUtensorMap& map, Barrier& full, int column, int row,
                                int head, int batch) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, "
      "%6}], [%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(full.address()), "r"(column), "r"(row), "r"(head), "r"(batch)
      : "memory");
}

// Loads rows × columns from (column 0, row, head, batch) as slabs of 64 columns, one after the other.
__device__ inline void load_tile(char* to, const CUtensorMap& map, Barrier& full, int columns, int rows,
                                 int row, int head, int batch) {
  full.arrive_expecting(columns * rows * 2);
  for (int column = 0; column < columns; column += 64)
    load_box(to + column * rows * 2, map, full, column, row, head, batch);
}

// Copies `bytes` (a multiple of 16, aligned to 16) that lie together; they count on `full`, which must expect
// them.
__device__ inline void load_bytes(void* to, const void* from, int bytes, Barrier& full) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          shared_address(to)),
      "l"(from), "r"(bytes), "r"(full.address())
      : "memory");
}

// The first T that fits into a block's dynamic shared memory at a multiple of 1024 bytes, as swizzled tiles
// need; so 1024 bytes more are asked for than T has.
// The offset is added to `raw`, so that the compiler still knows the result for shared memory.
template <class T>
__device__ __forceinline__ T& aligned_shared(char* raw) {
  return *reinterpret_cast<T*>(raw + (-shared_address(raw) & 1023));
}

// Makes this thread's ordinary writes to shared memory visible to the copy engine and the tensor cores.
__device__ inline void publish_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

}  // namespace zeta::cuda::hopper
