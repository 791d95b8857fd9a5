// Rows of activations as int8, by the threads of a block together.
//
// q = round(x · s), s = 127 · (1 / max(max|x|, 1e-5)), rounded as training rounds. |x · s| < 127.5, so that
// nothing has to be clamped. s is NaN where x has one and 0 where it has an infinity.
#pragma once

#include <type_traits>

#include "kernels/cuda/memory.cuh"
#include "kernels/cuda/numbers.cuh"

namespace zeta::cuda {

// For up to kRows rows; whole once quantize_block has returned.
template <int kRows>
struct QuantizeScratch {
  uint32_t largest[kRows][32];  // of each warp
  int sums[kRows][32];
  float scale[kRows];

  __device__ int sum(int row) const {
    int total = 0;
    for (unsigned w = 0; w < blockDim.x / 32; ++w) total += sums[row][w];
    return total;
  }
};

// The greatest magnitude of the values in 16 bytes, as the bits of a float. Bits of |v| have, as integers,
// the order of the numbers, and NaN above all.
template <typename T>
__device__ uint32_t largest_magnitude(const uint4& v) {
  if constexpr (sizeof(T) == 4) {
    constexpr uint32_t kMask = 0x7fffffff;
    return max(max(v.x & kMask, v.y & kMask), max(v.z & kMask, v.w & kMask));
  } else {
    constexpr uint32_t kMask = 0x7fff7fff;
    const uint32_t two = __vmaxu2(__vmaxu2(v.x & kMask, v.y & kMask), __vmaxu2(v.z & kMask, v.w & kMask));
    const uint16_t one = max(two & 0xffff, two >> 16);
    return __float_as_uint(to_float(reinterpret_cast<const T&>(one)));
  }
}

// round(v · s) in the low byte: beside 1.5 · 2²³ a float has no room for fractions.
__device__ inline uint32_t quantize_value(float v, float s) {
  return __float_as_uint(__fadd_rn(__fmul_rn(v, s), 12582912.0f));
}

// Four values as four bytes.
template <typename T>
__device__ uint32_t quantize_four(const T* v, float s) {
  const uint32_t low =
      __byte_perm(quantize_value(to_float(v[0]), s), quantize_value(to_float(v[1]), s), 0x0040);
  const uint32_t high =
      __byte_perm(quantize_value(to_float(v[2]), s), quantize_value(to_float(v[3]), s), 0x0040);
  return __byte_perm(low, high, 0x5410);
}

__device__ inline float activation_scale(uint32_t largest) {
  return 127.0f * (1.0f / larger(__uint_as_float(largest), 1e-5f));
}

// Where codes go: row after row.
struct CodeRows {
  int8_t* q;
  int stride;
  __device__ CodeRows from_row(int64_t row) const { return {q + row * stride, stride}; }
  __device__ void four(int row, int k, uint32_t codes) const {
    *reinterpret_cast<uint32_t*>(q + int64_t{row} * stride + k) = codes;
  }
  __device__ void one(int row, int k, uint32_t code) const {
    q[int64_t{row} * stride + k] = static_cast<int8_t>(code);
  }
};

// x (rows, k), rows ≤ kRows. Codes from k up to `padded`, a multiple of 4, are zero. With kVector x starts at
// 16 bytes and k is a multiple of 16; only then may Codes lack `one`. Ends with a barrier.
template <bool kVector, int kRows, typename T, typename Codes>
__device__ void quantize_block(const T* x, int rows, int k, int padded, const Codes& codes,
                               QuantizeScratch<kRows>& scratch) {
  constexpr int kSize = kVector ? 16 / sizeof(T) : 1;  // values a load
  constexpr int kBatch = 4;                            // loads under way at once
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, count = k / kSize;
  const bool hold = rows == 1 && count <= kBatch * static_cast<int>(blockDim.x);  // then x is read once
  uint4 held[kBatch];
  const auto load = [&](int row, int first) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * blockDim.x + threadIdx.x;
      const T* const from = x + int64_t{row} * k + i * kSize;
      if constexpr (kVector) {
        held[b] = load_16(from, i < count);
      } else {
        T value = from_float<T>(0.0f);
        if (i < count) value = *from;
        held[b] = {};
        reinterpret_cast<T&>(held[b]) = value;
      }
    }
  };
  for (int row = 0; row < rows; ++row) {
    uint32_t largest = 0;
    for (int first = 0; first < count; first += kBatch * blockDim.x) {
      load(row, first);
#pragma unroll
      for (int b = 0; b < kBatch; ++b) largest = max(largest, largest_magnitude<T>(held[b]));
    }
    largest = __reduce_max_sync(~0u, largest);
    if (lane == 0) scratch.largest[row][warp] = largest;
  }
  __syncthreads();
  for (int row = 0; row < rows; ++row) {
    const float s = activation_scale(__reduce_max_sync(~0u, lane < warps ? scratch.largest[row][lane] : 0));
    if (threadIdx.x == 0) scratch.scale[row] = s;
    int sum = 0;
    for (int first = 0; first < count; first += kBatch * blockDim.x) {
      if (!hold) load(row, first);
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int i = first + b * blockDim.x + threadIdx.x;
        if (i >= count) break;
        const T* const values = reinterpret_cast<const T*>(&held[b]);
        if constexpr (kVector) {
#pragma unroll
          for (int w = 0; w < kSize / 4; ++w) {
            const uint32_t four = quantize_four(values + 4 * w, s);
            sum = __dp4a(static_cast<int>(four), 0x01010101, sum);
            codes.four(row, kSize * i + 4 * w, four);
          }
        } else {
          const uint32_t code = quantize_value(to_float(values[0]), s);
          codes.one(row, i, code);
          sum += static_cast<int8_t>(code);
        }
      }
    }
    if constexpr (kVector) {
      for (int i = k + 4 * threadIdx.x; i < padded; i += 4 * blockDim.x) codes.four(row, i, 0);
    } else {
      for (int i = k + threadIdx.x; i < padded; i += blockDim.x) codes.one(row, i, 0);
    }
    sum = __reduce_add_sync(~0u, sum);
    if (lane == 0) scratch.sums[row][warp] = sum;
  }
  __syncthreads();
}

}  // namespace zeta::cuda
