// 4-bit weights, packed as compressed-tensors' `pack-quantized` stores them, times floating or int8
// activations.
//
// An int32 holds eight codes + 8 of consecutive columns, low bits first; `group_size` consecutive columns
// share a scale. They are read where they lie; several rows of activations share one unpacked tile. Products
// are exact to fp32's rounding and sums are in fp32, where AVX-512 BF16 multiplies bfloat16 too; it takes
// numbers below 2⁻¹²⁶ as zero. With AVX-512 VNNI up to four rows of fp32 activations are multiplied in
// integers: an activation is off by at most 3 · 2⁻²⁴ of the greatest of the eight that share its word, and by
// 2⁻¹²³.
//
// No threads. Calls on disjoint ranges may run side by side. A call allocates a tile, or room for a few rows
// of activations (std::bad_alloc).
#pragma once

#include <cstdint>

namespace zeta::cpu {

// out = x · (c · scale)ᵀ + bias
struct Int4Linear {
  const float* x;                  // (m, k), or null:
  const uint16_t* x_bfloat16;      // then the same as bfloat16, where int4_reads_bfloat16()
  const uint32_t* packed;          // (n, k / 8)
  const float* scale;              // (n, k / group_size), or null:
  const uint16_t* scale_bfloat16;  // then the same as bfloat16
  const float* bias;               // (n), or null
  float* out;                      // (m, n)
  int64_t m, n, k;                 // k a positive multiple of group_size
  int64_t group_size;              // a positive multiple of 8
};

// out = Σ over groups of ((q · cᵀ) · scale) · row_scale + bias. A group's sum of integers is exact, the rest
// is in fp32; the order of groups is not set.
struct Int4Int8Linear {
  const int8_t* q;                 // (m, q_stride): codes of activations, readable up to q_stride
  const float* row_scale;          // (m)
  const uint32_t* packed;          // (n, k / 8)
  const float* scale;              // (n, k / group_size), or null:
  const uint16_t* scale_bfloat16;  // then the same as bfloat16
  const float* bias;               // (n), or null
  float* out;                      // (m, n)
  int64_t m, n, k;                 // k < 2²⁰, a positive multiple of group_size
  int64_t q_stride;                // a multiple of 64, ≥ k
  int64_t group_size;              // a positive multiple of 8
};

// Computes columns [begin, end) of out.
void int4_linear(const Int4Linear& args, int64_t begin, int64_t end);
void int4_linear(const Int4Int8Linear& args, int64_t begin, int64_t end);

// Whether int4_linear takes activations in bfloat16 on this machine, and gains by it.
bool int4_reads_bfloat16();

namespace scalar {
void int4_linear(const Int4Linear& args, int64_t begin, int64_t end);
void int4_linear(const Int4Int8Linear& args, int64_t begin, int64_t end);
}  // namespace scalar
namespace avx2 {
void int4_linear(const Int4Linear& args, int64_t begin, int64_t end);
void int4_linear_vector(const Int4Linear& args, int64_t begin, int64_t end);  // m = 1
void int4_linear(const Int4Int8Linear& args, int64_t begin, int64_t end);
}  // namespace avx2
namespace avx512 {
void int4_linear(const Int4Linear& args, int64_t begin, int64_t end);
}
namespace avx512_vnni {
void int4_linear(const Int4Linear& args, int64_t begin, int64_t end);
void int4_linear(const Int4Int8Linear& args, int64_t begin, int64_t end);
}  // namespace avx512_vnni
namespace avx512_bf16 {
void int4_linear(const Int4Linear& args, int64_t begin, int64_t end);  // x in bfloat16
}

}  // namespace zeta::cpu
