#include "kernels/cpu/attention/table.h"
#include "kernels/cpu/attention/vector_avx512.h"

namespace zeta::cpu {

const AttentionKernels& attention_avx512(ElementType type) {
  if (type == ElementType::kBFloat16) return kWideTable<Avx512Vector, BFloat16>;
  if (type == ElementType::kFloat16) return kWideTable<Avx512Vector, Half>;
  return kWideTable<Avx512Vector, float>;
}

}  // namespace zeta::cpu
