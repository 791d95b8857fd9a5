// The kernels for one type of queries and one of keys, each compiled in a file of its own.
#pragma once

#include "kernels/cuda/decode/decode.h"

namespace zeta::cuda {

struct DecodeEntries {
  cudaError_t (*workspace)(const DecodeAttention& args, size_t& bytes);
  cudaError_t (*run)(DecodeAttention args, const DecodeNew& added, cudaStream_t stream);
};

extern const DecodeEntries kDecodeBFloat16, kDecodeHalf, kDecodeBFloat16Float8, kDecodeHalfFloat8;

}  // namespace zeta::cuda
