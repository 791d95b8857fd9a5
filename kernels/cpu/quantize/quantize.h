// Quantisers of weights and activations: the arithmetic of docs/design/foundation.md on fp32 rows.
//
// Functions take contiguous rows of n ≥ 0 elements, allocate nothing, start no threads and cannot fail; they
// are safe to call from any thread. Rounding is half to even. A NaN or infinity gets some code in range and
// shows in the scale, so that whatever is computed from the two is not finite either.
//
// The unqualified functions use the instruction set of zeta::cpu::isa(); scalar:: and avx2:: name one.
#pragma once

#include <cstdint>

namespace zeta::cpu {

// What quantize_activation finds out about a row.
struct ActivationRow {
  float scale;  // s: the row was multiplied by it
  int32_t sum;  // of the codes
};

// Sum of |w|, in double.
double abs_sum(const float* w, int64_t n);

// codes[i] = clamp(round(w[i] · inverse_scale), −1, 1). BitNet b1.58, arXiv 2402.17764.
void quantize_ternary(const float* w, int64_t n, float inverse_scale, int8_t* codes);

// Groups of group_size, which divides n: σ = max(max|w| / 7.5, 2⁻¹²⁶) rounded to bfloat16 and
// codes[i] = clamp(round(w[i] / σ), −8, 7). scales: (n / group_size).
void quantize_int4(const float* w, int64_t n, int64_t group_size, int8_t* codes, float* scales);

// s = 127 · (1 / max(max|x|, 1e-5)), codes[i] = clamp(round(x[i] · s), −128, 127).
ActivationRow quantize_activation(const float* x, int64_t n, int8_t* codes);

// w as a forward multiplies with it: out[i] = codes[i] · scale, of the codes above.
void use_ternary(const float* w, int64_t n, float inverse_scale, float scale, float* out);
void use_int4(const float* w, int64_t n, int64_t group_size, float* out);

// x as a forward multiplies with it: out[i] = codes[i] / scale.
void use_activation(const int8_t* codes, int64_t n, float scale, float* out);

// Codes as packed_linear reads them. Ternary: of four rows, `stride` apart, n of each into n bytes. 4-bit: n,
// a multiple of 8, into n / 8 words.
void pack_ternary(const int8_t* codes, int64_t stride, int64_t n, uint8_t* packed);
void pack_int4(const int8_t* codes, int64_t n, uint32_t* packed);

namespace scalar {
double abs_sum(const float* w, int64_t n);
void quantize_ternary(const float* w, int64_t n, float inverse_scale, int8_t* codes);
void quantize_int4(const float* w, int64_t n, int64_t group_size, int8_t* codes, float* scales);
ActivationRow quantize_activation(const float* x, int64_t n, int8_t* codes);
void use_ternary(const float* w, int64_t n, float inverse_scale, float scale, float* out);
void use_int4(const float* w, int64_t n, int64_t group_size, float* out);
void use_activation(const int8_t* codes, int64_t n, float scale, float* out);
void pack_ternary(const int8_t* codes, int64_t stride, int64_t n, uint8_t* packed);
void pack_int4(const int8_t* codes, int64_t n, uint32_t* packed);
}  // namespace scalar

namespace avx2 {
double abs_sum(const float* w, int64_t n);
void quantize_ternary(const float* w, int64_t n, float inverse_scale, int8_t* codes);
void quantize_int4(const float* w, int64_t n, int64_t group_size, int8_t* codes, float* scales);
ActivationRow quantize_activation(const float* x, int64_t n, int8_t* codes);
void use_ternary(const float* w, int64_t n, float inverse_scale, float scale, float* out);
void use_int4(const float* w, int64_t n, int64_t group_size, float* out);
void use_activation(const int8_t* codes, int64_t n, float scale, float* out);
void pack_ternary(const int8_t* codes, int64_t stride, int64_t n, uint8_t* packed);
void pack_int4(const int8_t* codes, int64_t n, uint32_t* packed);
}  // namespace avx2

}  // namespace zeta::cpu
