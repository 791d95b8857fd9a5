// Eight neighbouring values of a tensor of one of three dtypes, as floats.
#pragma once

#include "kernels/cuda/numbers.cuh"
#include "kernels/cuda/values.h"

namespace zeta::cuda {

template <typename T>
__device__ inline void unpack_pairs(const uint4& v, float (&out)[8]) {
  const T* const values = reinterpret_cast<const T*>(&v);
#pragma unroll
  for (int i = 0; i < 8; ++i) out[i] = to_float(values[i]);
}

// As they lie in memory: loading is apart from converting, so that several loads can be under way.
struct RawEight {
  uint4 low, high;  // high only of float
};

// `values` starts at a multiple of 16 bytes; the 8 from 8 · i on.
__device__ inline RawEight load_eight(const Values& values, int64_t i, bool wanted) {
  RawEight raw = {};
  if (!wanted) return raw;
  const auto* const from = static_cast<const uint4*>(values.data);
  if (values.dtype == Dtype::kFloat) {
    raw.low = from[2 * i];
    raw.high = from[2 * i + 1];
  } else {
    raw.low = from[i];
  }
  return raw;
}

__device__ inline void to_floats(const RawEight& raw, Dtype dtype, float (&out)[8]) {
  switch (dtype) {
    case Dtype::kHalf:
      return unpack_pairs<__half>(raw.low, out);
    case Dtype::kBFloat16:
      return unpack_pairs<__nv_bfloat16>(raw.low, out);
    default:
      const auto words = {raw.low.x,  raw.low.y,  raw.low.z,  raw.low.w,
                          raw.high.x, raw.high.y, raw.high.z, raw.high.w};
      int at = 0;
      for (const uint32_t bits : words) out[at++] = __uint_as_float(bits);
  }
}

// The greatest magnitude, or NaN. Bits of |v| have, as integers, the order of the numbers, and NaN above all.
__device__ inline float greatest(const RawEight& raw, Dtype dtype) {
  constexpr uint32_t kPair = 0x7fff7fff, kWord = 0x7fffffff;
  const uint4 &a = raw.low, &b = raw.high;
  if (dtype == Dtype::kFloat) {
    const uint32_t low = max(max(a.x & kWord, a.y & kWord), max(a.z & kWord, a.w & kWord));
    const uint32_t high = max(max(b.x & kWord, b.y & kWord), max(b.z & kWord, b.w & kWord));
    return __uint_as_float(max(low, high));
  }
  const uint32_t two = __vmaxu2(__vmaxu2(a.x & kPair, a.y & kPair), __vmaxu2(a.z & kPair, a.w & kPair));
  const auto one = static_cast<uint16_t>(max(two & 0xffff, two >> 16));
  return dtype == Dtype::kHalf ? __half2float(__ushort_as_half(one))
                               : __bfloat162float(__ushort_as_bfloat16(one));
}

template <typename T>
__device__ inline uint32_t pack_pair(float a, float b) {
  const T pair[2] = {from_float<T>(a), from_float<T>(b)};
  return *reinterpret_cast<const uint32_t*>(pair);
}
template <typename T>
__device__ inline uint4 pack_eight(const float (&v)[8]) {
  return {pack_pair<T>(v[0], v[1]), pack_pair<T>(v[2], v[3]), pack_pair<T>(v[4], v[5]),
          pack_pair<T>(v[6], v[7])};
}

__device__ inline void store_eight(const Output& out, int64_t i, const float (&v)[8]) {
  auto* const to = static_cast<uint4*>(out.data);
  switch (out.dtype) {
    case Dtype::kHalf:
      to[i] = pack_eight<__half>(v);
      return;
    case Dtype::kBFloat16:
      to[i] = pack_eight<__nv_bfloat16>(v);
      return;
    default:
      auto* const floats = reinterpret_cast<float4*>(to);
      floats[2 * i] = {v[0], v[1], v[2], v[3]};
      floats[2 * i + 1] = {v[4], v[5], v[6], v[7]};
  }
}

__device__ inline void store_one(const Output& out, int64_t i, float v) {
  switch (out.dtype) {
    case Dtype::kHalf:
      static_cast<__half*>(out.data)[i] = __float2half_rn(v);
      return;
    case Dtype::kBFloat16:
      static_cast<__nv_bfloat16*>(out.data)[i] = __float2bfloat16_rn(v);
      return;
    default:
      static_cast<float*>(out.data)[i] = v;
  }
}

__device__ inline float round_to(Dtype dtype, float v) {
  switch (dtype) {
    case Dtype::kHalf:
      return __half2float(__float2half_rn(v));
    case Dtype::kBFloat16:
      return __bfloat162float(__float2bfloat16_rn(v));
    default:
      return v;
  }
}

}  // namespace zeta::cuda
