// Loads and prefetches with a say in the caches.
#pragma once

#include <cstdint>

namespace zeta::cuda {

__device__ inline uint32_t word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// 16 bytes that nothing in the grid writes and nothing on this multiprocessor reads again; zeros, and no
// access, without `wanted`. Stays where it is written, so that it is under way while what follows is
// computed.
__device__ inline uint4 load_once(const void* address, bool wanted) {
  uint4 v = {};
  asm volatile(
      "{.reg .pred p; setp.ne.u32 p, %5, 0;"
      "@p ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];}"
      : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w)
      : "l"(address), "r"(uint32_t{wanted}));
  return v;
}

// 16 bytes that nothing in the grid writes; zeros, and no access, without `wanted`.
__device__ inline uint4 load_16(const void* address, bool wanted) {
  uint4 v = {};
  asm volatile(
      "{.reg .pred p; setp.ne.u32 p, %5, 0;"
      "@p ld.global.v4.u32 {%0, %1, %2, %3}, [%4];}"
      : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w)
      : "l"(address), "r"(uint32_t{wanted}));
  return v;
}

// Copies 16 bytes to shared memory behind the thread's back; zeros without `wanted`, and no access. They can
// be read by the thread itself after wait_for_copies, by others after a barrier besides.
__device__ inline void copy_16_async(void* shared, const void* address, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(address), "r"(wanted ? 16 : 0)
               : "memory");
}
__device__ inline void copy_16_async(void* shared, const void* address) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(address)
               : "memory");
}
__device__ inline void copy_4_async(void* shared, const void* address, bool wanted) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(address), "r"(wanted ? 4 : 0)
               : "memory");
}
// Ends a group of copies.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// All but the last kGroups groups have arrived.
template <int kGroups>
__device__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

__device__ inline uint32_t shared_place(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}
// Four 8 × 8 matrices of 16-bit values, whose rows lanes 0-7, 8-15, … point at: lane l gets elements 2 (l %
// 4) and the next of row l / 4 of each. Transposed: of column l / 4.
__device__ inline void load_matrices(uint32_t (&m)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}
__device__ inline void load_matrices_transposed(uint32_t (&m)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}

// A hint: harmless whatever is written to the address later, as every write goes through L2.
__device__ inline void prefetch_to_l2(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

}  // namespace zeta::cuda
