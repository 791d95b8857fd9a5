#include "kernels/cpu/quantize/quantize.h"

#include "kernels/cpu/isa.h"

namespace zeta::cpu {

double abs_sum(const float* w, int64_t n) {
  return isa() >= Isa::kAvx2 ? avx2::abs_sum(w, n) : scalar::abs_sum(w, n);
}

void quantize_ternary(const float* w, int64_t n, float inverse_scale, int8_t* codes) {
  (isa() >= Isa::kAvx2 ? avx2::quantize_ternary : scalar::quantize_ternary)(w, n, inverse_scale, codes);
}

void quantize_int4(const float* w, int64_t n, int64_t group_size, int8_t* codes, float* scales) {
  (isa() >= Isa::kAvx2 ? avx2::quantize_int4 : scalar::quantize_int4)(w, n, group_size, codes, scales);
}

ActivationRow quantize_activation(const float* x, int64_t n, int8_t* codes) {
  return isa() >= Isa::kAvx2 ? avx2::quantize_activation(x, n, codes)
                             : scalar::quantize_activation(x, n, codes);
}

void use_ternary(const float* w, int64_t n, float inverse_scale, float scale, float* out) {
  (isa() >= Isa::kAvx2 ? avx2::use_ternary : scalar::use_ternary)(w, n, inverse_scale, scale, out);
}

void use_int4(const float* w, int64_t n, int64_t group_size, float* out) {
  (isa() >= Isa::kAvx2 ? avx2::use_int4 : scalar::use_int4)(w, n, group_size, out);
}

void use_activation(const int8_t* codes, int64_t n, float scale, float* out) {
  (isa() >= Isa::kAvx2 ? avx2::use_activation : scalar::use_activation)(codes, n, scale, out);
}

void pack_ternary(const int8_t* codes, int64_t stride, int64_t n, uint8_t* packed) {
  (isa() >= Isa::kAvx2 ? avx2::pack_ternary : scalar::pack_ternary)(codes, stride, n, packed);
}

void pack_int4(const int8_t* codes, int64_t n, uint32_t* packed) {
  (isa() >= Isa::kAvx2 ? avx2::pack_int4 : scalar::pack_int4)(codes, n, packed);
}

}  // namespace zeta::cpu
