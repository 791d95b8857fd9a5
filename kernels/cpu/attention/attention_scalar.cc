#include "kernels/cpu/attention/bias_gradient.h"
#include "kernels/cpu/attention/forward.h"
#include "kernels/cpu/attention/kernels.h"

namespace zeta::cpu {
namespace {

template <class T, class S>
constexpr AttentionKernels kKernels = {
    forward_scratch<ScalarVector<T>, S>,  forward_range<ScalarVector<T>, S>,
    backward_scratch<ScalarVector<T>, S>, backward_range<ScalarVector<T>, S>,
    reduce_range<ScalarVector<T>, S>,     bias_gradient_range<ScalarVector<T>, S>,
};

}  // namespace

const AttentionKernels& attention_scalar(ElementType type) {
  switch (type) {
    case ElementType::kBFloat16:
      return kKernels<float, BFloat16>;
    case ElementType::kFloat16:
      return kKernels<float, Half>;
    case ElementType::kFloat64:
      return kKernels<double, double>;
    case ElementType::kFloat32:
      break;
  }
  return kKernels<float, float>;
}

}  // namespace zeta::cpu
