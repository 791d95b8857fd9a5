// What one instruction set offers the dispatcher in attention.cc.
#pragma once

#include <cstddef>

#include "kernels/cpu/attention/attention.h"

namespace zeta::cpu {

template <class Args>
using RangeKernel = void (*)(const Args&, int64_t begin, int64_t end, void* scratch);

struct AttentionKernels {
  size_t (*forward_scratch)(const AttentionForward&);  // bytes
  RangeKernel<AttentionForward> forward;
  size_t (*backward_scratch)(const AttentionBackward&);
  RangeKernel<AttentionBackward> backward;
  RangeKernel<AttentionBackward> reduce;
  void (*bias_gradient)(const AttentionBackward&, const AttentionBiasGradient&, int64_t begin, int64_t end,
                        void* scratch);
};

const AttentionKernels& attention_scalar(ElementType type);
const AttentionKernels& attention_avx2(ElementType type);    // not float64
const AttentionKernels& attention_avx512(ElementType type);  // not float64
const AttentionKernels& attention_avx512_bf16();             // bfloat16

}  // namespace zeta::cpu
