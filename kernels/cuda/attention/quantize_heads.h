// Attention's operands as e4m3 codes, with one scale for all heads that share a kv head, a batch.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

#include "kernels/cuda/values.h"

namespace zeta::cuda {

// (batch, seq, num_kv_heads · group, dim), 8 values of which are aligned to 16 bytes: strides, in elements,
// and dim are multiples of 8. Codes lie one after the other.
struct HeadsToQuantize {
  Values values;
  int64_t batch_stride, seq_stride, head_stride;
  int64_t seq, group, dim;
  uint8_t* codes;
  float* descale;  // (batch, num_kv_heads): the greatest magnitude / 448, at least 2⁻¹²⁶, or NaN
};

// q, k and v. batch · num_kv_heads ≤ 65535; workspace of quantize_heads_workspace bytes, aligned to 4. Only
// enqueues work on `stream`; returns the first error.
inline int64_t quantize_heads_workspace(int64_t batch, int64_t num_kv_heads) {
  return 3 * batch * num_kv_heads * int64_t{sizeof(uint32_t)};
}
cudaError_t quantize_heads(const std::array<HeadsToQuantize, 3>& heads, int64_t batch, int64_t num_kv_heads,
                           void* workspace, cudaStream_t stream);

}  // namespace zeta::cuda
