// The kernels of one instruction set and type, made of the products of a forward and a backward policy.
#pragma once

#include "kernels/cpu/attention/bias_gradient.h"
#include "kernels/cpu/attention/kernels.h"
#include "kernels/cpu/attention/products_wide.h"

namespace zeta::cpu {
namespace {

template <class Forward, class Backward>
constexpr AttentionKernels kTable = {
    forward_scratch<Forward>,
    forward_range<Forward>,
    backward_scratch<Backward>,
    backward_range<Backward>,
    reduce_range<typename Backward::Vector, typename Backward::Element>,
    bias_gradient_range<Backward>,
};

template <class V, class S>
constexpr AttentionKernels kWideTable = kTable<WideForward<V, S>, WideBackward<V, S>>;

}  // namespace
}  // namespace zeta::cpu
