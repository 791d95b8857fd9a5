// The two products of attention on a tile of 16 rows and 16 keys, with keys and values in shared memory, by
// mma.sync (see mma.cuh for what a lane holds).
#pragma once

#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/cuda/attention/softmax.cuh"
#include "kernels/cuda/decode/cache_tile.cuh"
#include "kernels/cuda/memory.cuh"
#include "kernels/cuda/mma.cuh"

namespace zeta::cuda {

using Float8 = __nv_fp8_e4m3;

// Keys and values of the queries' own type.
template <class T, class C, int kDim>
struct DecodeProducts {
  using Tile = CacheTile<C, kDim>;
  static constexpr int kParts = kDim / 16;  // of the head dimension
  static constexpr int kWidth = 2;          // neighbouring dimensions of a row that a lane holds together

  // The left operand's part i of a row: this lane's dimensions from the result on, and 8 further on.
  __device__ static int query_dim(int part) { return part * 16 + threadIdx.x % 4 * 2; }
  static constexpr int kQueryStep = 8;

  __device__ static void scores(float (&s)[2][4], const uint32_t (&q)[kParts][4], const uint8_t* tile) {
    const int lane = threadIdx.x % 32, key = lane / 16 * 8 + lane % 8;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      uint32_t k[4];
      load_matrices(k, shared_place(tile + Tile::offset(key, 2 * i + lane / 8 % 2)));
      mma_m16n8k16<T>(s[0], q[i], k[0], k[1]);
      mma_m16n8k16<T>(s[1], q[i], k[2], k[3]);
    }
  }

  __device__ static void add_values(float (&o)[kDim / 8][4], const uint32_t (&p)[4], const uint8_t* tile) {
    const int lane = threadIdx.x % 32, key = lane % 16;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      uint32_t v[4];
      load_matrices_transposed(v, shared_place(tile + Tile::offset(key, 2 * i + lane / 16)));
      mma_m16n8k16<T>(o[2 * i], p, v[0], v[1]);
      mma_m16n8k16<T>(o[2 * i + 1], p, v[2], v[3]);
    }
  }

  // Piece i < kDim / 8 of a row of the sums (0: row g, 1: row g + 8): its first dimension, and its values.
  static constexpr int kPieces = kDim / 8;
  __device__ static int output_dim(int i) { return i * 8 + threadIdx.x % 4 * 2; }
  __device__ static void store(float* to, const float (&o)[kDim / 8][4], int i, int row, float factor) {
    *reinterpret_cast<float2*>(to) = {o[i][2 * row] * factor, o[i][2 * row + 1] * factor};
  }
};

// Two e4m3 numbers, exactly. Before compute capability 8.9 NaN reads as 480.
__device__ inline uint32_t widen(uint32_t two, __half) {
#if __CUDA_ARCH__ >= 890
  uint32_t wide;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(wide) : "h"(static_cast<uint16_t>(two)));
  return wide;
#else
  // The exponents' biases are 7 and 15: the bits read as a half are 2⁸ too small.
  const uint32_t high = __byte_perm(two, 0, 0x1404), bits = (high & 0x80008000u) | (high & 0x7f007f00u) >> 1;
  __half2 wide = *reinterpret_cast<const __half2*>(&bits);
  wide = __hmul2(wide, __half2half2(__ushort_as_half(0x5c00)));
  return *reinterpret_cast<const uint32_t*>(&wide);
#endif
}
__device__ inline uint32_t widen(uint32_t two, __nv_bfloat16) {
  const uint32_t wide = widen(two, __half{});
  const float2 numbers = __half22float2(*reinterpret_cast<const __half2*>(&wide));
  return pack(numbers.x, numbers.y, __nv_bfloat16{});
}

// … of 8 bits, widened between shared memory and the product. A register of ldmatrix has four dimensions of a
// key then: part i of a row takes dimensions 4t…4t + 3 where 16-bit operands have 2t, 2t + 1, 2t + 8, 2t + 9,
// and so does the other operand. Transposed it has two dimensions of two keys, and columns g of two products
// are dimensions 2g and 2g + 1.
template <class T, int kDim>
struct DecodeProducts<T, Float8, kDim> {
  using Tile = CacheTile<Float8, kDim>;
  static constexpr int kParts = kDim / 16;
  static constexpr int kWidth = 4;

  __device__ static int query_dim(int part) { return part * 16 + threadIdx.x % 4 * 4; }
  static constexpr int kQueryStep = 2;

  __device__ static void scores(float (&s)[2][4], const uint32_t (&q)[kParts][4], const uint8_t* tile) {
    const int lane = threadIdx.x % 32, key = lane / 16 * 8 + lane % 8;
#pragma unroll
    for (int i = 0; i < kParts; i += 2) {
      uint32_t k[4];
      load_matrices(k, shared_place(tile + Tile::offset(key, i + lane / 8 % 2)));
#pragma unroll
      for (int m = 0; m < 4; ++m)
        mma_m16n8k16<T>(s[m / 2], q[i + m % 2], widen(k[m] & 0xffff, T{}), widen(k[m] >> 16, T{}));
    }
  }

  __device__ static void add_values(float (&o)[kDim / 8][4], const uint32_t (&p)[4], const uint8_t* tile) {
    const int lane = threadIdx.x % 32, key = lane % 16;
#pragma unroll
    for (int i = 0; i < kParts; i += 2) {
      uint32_t v[4];
      load_matrices_transposed(v, shared_place(tile + Tile::offset(key, i + lane / 16)));
#pragma unroll
      for (int m = 0; m < 4; m += 2) {
        const uint32_t low = __byte_perm(v[m], 0, 0x3120), high = __byte_perm(v[m + 1], 0, 0x3120);
        const int column = 2 * i + m;
        mma_m16n8k16<T>(o[column], p, widen(low & 0xffff, T{}), widen(high & 0xffff, T{}));
        mma_m16n8k16<T>(o[column + 1], p, widen(low >> 16, T{}), widen(high >> 16, T{}));
      }
    }
  }

  static constexpr int kPieces = kDim / 16;
  __device__ static int output_dim(int i) { return i * 16 + threadIdx.x % 4 * 4; }
  __device__ static void store(float* to, const float (&o)[kDim / 8][4], int i, int row, float factor) {
    const float(&even)[4] = o[2 * i], (&odd)[4] = o[2 * i + 1];
    *reinterpret_cast<float4*>(to) = {even[2 * row] * factor, odd[2 * row] * factor,
                                      even[2 * row + 1] * factor, odd[2 * row + 1] * factor};
  }
};

}  // namespace zeta::cuda
