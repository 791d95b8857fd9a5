#include "kernels/cpu/attention/table.h"
#include "kernels/cpu/attention/vector_avx2.h"

namespace zeta::cpu {

const AttentionKernels& attention_avx2(ElementType type) {
  if (type == ElementType::kBFloat16) return kWideTable<Avx2Vector, BFloat16>;
  if (type == ElementType::kFloat16) return kWideTable<Avx2Vector, Half>;
  return kWideTable<Avx2Vector, float>;
}

}  // namespace zeta::cpu
