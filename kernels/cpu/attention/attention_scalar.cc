#include "kernels/cpu/attention/table.h"

namespace zeta::cpu {

const AttentionKernels& attention_scalar(ElementType type) {
  switch (type) {
    case ElementType::kBFloat16:
      return kWideTable<ScalarVector<float>, BFloat16>;
    case ElementType::kFloat16:
      return kWideTable<ScalarVector<float>, Half>;
    case ElementType::kFloat64:
      return kWideTable<ScalarVector<double>, double>;
    case ElementType::kFloat32:
      break;
  }
  return kWideTable<ScalarVector<float>, float>;
}

}  // namespace zeta::cpu
