#include "kernels/cpu/attention/bias_gradient.h"
#include "kernels/cpu/attention/forward.h"
#include "kernels/cpu/attention/kernels.h"
#include "kernels/cpu/attention/vector_avx2.h"

namespace zeta::cpu {
namespace {

template <class S>
constexpr AttentionKernels kKernels = {
    forward_scratch<Avx2Vector, S>, forward_range<Avx2Vector, S>, backward_scratch<Avx2Vector, S>,
    backward_range<Avx2Vector, S>,  reduce_range<Avx2Vector, S>,  bias_gradient_range<Avx2Vector, S>,
};

}  // namespace

const AttentionKernels& attention_avx2(ElementType type) {
  if (type == ElementType::kBFloat16) return kKernels<BFloat16>;
  if (type == ElementType::kFloat16) return kKernels<Half>;
  return kKernels<float>;
}

}  // namespace zeta::cpu
