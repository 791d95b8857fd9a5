// Barriers of Hopper (sm_90): in shared memory, for the copy engine (mbarrier), and named ones among warps.
// PTX ISA, "Parallel Synchronization and Communication Instructions".
#pragma once

#include <cstdint>

namespace zeta::cuda::hopper {

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// A barrier in shared memory. It completes a phase once `arrivals` threads have arrived and all bytes that
// were announced have been written; phases alternate in parity, the first one being 0.
class Barrier {
 public:
  __device__ void init(int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address()), "r"(arrivals));
  }
  __device__ void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address()) : "memory");
  }
  // Arrives, and announces bytes that the copy engine will write.
  __device__ void arrive_expecting(int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address()), "r"(bytes)
                 : "memory");
  }
  // Returns once the phase of this parity has completed.
  __device__ void wait(int parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}\n" ::"r"(address()),
        "r"(parity)
        : "memory");
  }
  __device__ uint32_t address() const { return shared_address(this); }

 private:
  uint64_t word_;
};

// Makes initialised barriers visible to the copy engine; a __syncthreads must follow.
__device__ inline void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;"); }

// A place in a ring of kStages buffers, and the parity of its turn.
template <int kStages>
struct RingPosition {
  int stage = 0;
  int parity = 0;
  __device__ void next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// Named barriers (0 is __syncthreads'), among `threads` threads, arriving ones included.
__device__ inline void named_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ inline void named_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// The warpgroup of this thread, as a value of which the compiler knows that a warp shares it: what follows
// from it can then be kept in uniform registers, where the tensor cores want their descriptors.
__device__ inline int warpgroup() { return __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128, 0); }

// Moves registers between warpgroups: every warp of a warpgroup calls the same.
template <int kRegisters>
__device__ inline void release_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void claim_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace zeta::cuda::hopper
