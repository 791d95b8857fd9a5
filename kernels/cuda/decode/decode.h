// Attention of few queries to many keys, as in decoding: keys are cut among blocks, and the query heads that
// share a kv head are rows of one tensor-core tile. Keys and values lie in pages of a cache, or densely.
//
// All pointers are device pointers; calls only enqueue work on `stream` and return the first error. Nothing
// is kept between calls and no grid depends on what the device holds, so that CUDA graphs may capture them.
// They need compute capability 8.0.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/attention/attention.h"

namespace zeta::cuda {

// A (batch, seq, heads, dim) tensor: strides in elements, the last dimension contiguous. 32 bits, here and
// below, since addresses are computed for few bytes each; decode_supports refuses what is negative.
struct DecodeTensor {
  void* data = nullptr;
  int32_t batch_stride = 0;
  int32_t seq_stride = 0;
  int32_t head_stride = 0;
};

// Queries: seq_q of each sequence, or with cu_seqlens rows cu_seqlens[b] to cu_seqlens[b + 1] of a batch of
// one.
struct DecodeQueries {
  const int32_t* cu_seqlens = nullptr;
  int32_t seq_q = 0;
  int32_t total = 0;  // over all sequences
};

// Key j of sequence b is row j % page_size of page table[b][j / page_size], the batches of k and v being
// pages. Without a table it is row j of batch b. What lies outside the table or the cache is neither read nor
// written, and the sequence's results are NaN.
struct DecodeKeys {
  DecodeTensor k;
  DecodeTensor v;
  bool float8 = false;  // e4m3, times a number for each sequence and kv head; else of the queries' type
  const float* k_descale = nullptr;  // 1 where null
  const float* v_descale = nullptr;
  int32_t k_descale_strides[2] = {};  // of sequences and heads
  int32_t v_descale_strides[2] = {};
  const int32_t* table = nullptr;
  int32_t table_stride = 0;
  int32_t max_pages = 0;  // of a sequence
  int32_t num_pages = 0;
  int32_t page_size = 0;
  const int32_t* seq_lens = nullptr;  // keys of each sequence; seq_k without it
  int32_t seq_k = 0;                  // below 2³⁰, like max_pages · page_size
  bool appended = false;              // the queries' own keys lie behind those that seq_lens counts
};

struct DecodeAttention {
  HalfType type;  // of q and out
  int32_t sequences;
  int32_t num_heads;  // a multiple of num_kv_heads
  int32_t num_kv_heads;
  int32_t head_dim;
  int32_t value_dim;
  float softmax_scale;
  bool causal;
  int32_t window_left = -1;  // as in docs/design/attention.md, like what follows
  int32_t window_right = -1;
  float softcap = 0;
  const float* alibi = nullptr;
  int32_t alibi_stride = 0;  // between sequences
  const float* sinks = nullptr;
  DecodeQueries queries = {};
  DecodeKeys keys = {};
  DecodeTensor q;  // (sequences, seq_q, num_heads, head_dim)
  DecodeTensor out;
  float* lse;  // rows of queries are contiguous
  int32_t lse_batch_stride;
  int32_t lse_head_stride;
  void* workspace = nullptr;  // decode_workspace(args) bytes, aligned to 16
};

// New keys and values, written behind those of seq_lens; rotation of them and of the queries by position.
struct DecodeNew {
  DecodeTensor k = {};  // of the queries' type, packed like them; no data: none
  DecodeTensor v = {};
  const float* cos = nullptr;  // (positions, rotary_dim / 2) contiguous; null: no rotation
  const float* sin = nullptr;
  int32_t positions = 0;
  int32_t rotary_dim = 0;
  bool interleaved = false;
  void* rotated_q = nullptr;  // (total, num_heads, head_dim) contiguous, where there is rotation
};

// Whether decode_attention can: fewer than 2³¹ steps in all (plan.cuh), dims that are multiples of 8 up to
// 256 (of 16 with a float8 cache), data aligned to 16 bytes, strides that are multiples of 16 bytes.
bool decode_supports(const DecodeAttention& args);
cudaError_t decode_workspace(const DecodeAttention& args, size_t& bytes);
// `args.q` are the queries before rotation.
cudaError_t decode_attention(const DecodeAttention& args, const DecodeNew& added, cudaStream_t stream);

// Sets *bad, which must be 0, where lengths, table or positions point outside.
cudaError_t decode_check(const DecodeAttention& args, const DecodeNew& added, int32_t* bad,
                         cudaStream_t stream);

}  // namespace zeta::cuda
