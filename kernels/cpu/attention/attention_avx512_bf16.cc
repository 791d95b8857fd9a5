#include "kernels/cpu/attention/products_bf16.h"
#include "kernels/cpu/attention/table.h"

namespace zeta::cpu {

const AttentionKernels& attention_avx512_bf16() { return kTable<PairForward, PairBackward>; }

}  // namespace zeta::cpu
