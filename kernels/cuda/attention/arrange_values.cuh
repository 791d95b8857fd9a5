// Values as the right operand of the e4m3 product with probabilities. The tensor cores want each column's
// keys side by side (8-bit operands cannot be transposed on the way), and of 16 keys in the order in which a
// thread holds its scores of them: first its pair of the first eight, then that of the others.
#pragma once

#include "kernels/cuda/attention/float8_tiles.cuh"

namespace zeta::cuda {

struct ArrangeValues {
  AttentionTensor v;
  char* to;           // (batch, num_kv_heads, keys / kValueKeys, columns · kValueKeys)
  int64_t to_stride;  // of a (batch, kv head)
  int seq_k, num_kv_heads, value_dim;
  int columns, keys;  // with the zeros that fill tiles
};

// Four bytes of each of four keys become four keys of each of four columns.
__device__ __forceinline__ void transpose_bytes(uint32_t (&w)[4]) {
  const uint32_t low01 = __byte_perm(w[0], w[1], 0x5140), high01 = __byte_perm(w[0], w[1], 0x7362);
  const uint32_t low23 = __byte_perm(w[2], w[3], 0x5140), high23 = __byte_perm(w[2], w[3], 0x7362);
  w[0] = __byte_perm(low01, low23, 0x5410), w[1] = __byte_perm(low01, low23, 0x7632);
  w[2] = __byte_perm(high01, high23, 0x5410), w[3] = __byte_perm(high01, high23, 0x7632);
}

// A thread has four columns of 16 keys. Pieces of eight columns × 16 keys are 128 bytes, one for each half of
// kValueKeys, then come the next eight columns: hopper::slab_descriptor.
__global__ void __launch_bounds__(256) arrange_values_kernel(const ArrangeValues p) {
  const int quads = p.columns / 4, index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int column = index % quads * 4, first_key = index / quads * 16;
  if (first_key >= p.keys) return;
  const int kv_head = static_cast<int>(blockIdx.y) % p.num_kv_heads,
            batch = static_cast<int>(blockIdx.y) / p.num_kv_heads;
  const char* from = static_cast<const char*>(p.v.data) + batch * p.v.batch_stride +
                     kv_head * p.v.head_stride + first_key * p.v.seq_stride + column;
  uint32_t words[4][4];  // of four threads' pairs
#pragma unroll
  for (int key = 0; key < 16; ++key) {
    const bool exists = first_key + key < p.seq_k && column < p.value_dim;
    words[key % 8 / 2][key / 8 * 2 + key % 2] =
        exists ? *reinterpret_cast<const uint32_t*>(from + key * p.v.seq_stride) : 0;
  }
#pragma unroll
  for (auto& four : words) transpose_bytes(four);
  char* to = p.to + int64_t{blockIdx.y} * p.to_stride +
             int64_t{first_key / kValueKeys} * p.columns * kValueKeys + column / 8 * 256 +
             first_key % kValueKeys / 16 * 128 + column % 8 * 16;
#pragma unroll
  for (int i = 0; i < 4; ++i)
    *reinterpret_cast<uint4*>(to + 16 * i) = {words[0][i], words[1][i], words[2][i], words[3][i]};
}

}  // namespace zeta::cuda
