#include "kernels/cuda/decode/decode.h"

#include <initializer_list>

#include "kernels/cuda/decode/entries.h"
#include "kernels/cuda/decode/prepare.cuh"

namespace zeta::cuda {
namespace {

const DecodeEntries& entries(const DecodeAttention& a) {
  if (a.type == HalfType::kFloat16) return a.keys.float8 ? kDecodeHalfFloat8 : kDecodeHalf;
  return a.keys.float8 ? kDecodeBFloat16Float8 : kDecodeBFloat16;
}

bool aligned(const DecodeTensor& t, int elements) {
  bool fits = reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
  for (const int stride : {t.batch_stride, t.seq_stride, t.head_stride})
    fits = fits && stride >= 0 && stride % elements == 0;
  return fits;
}

}  // namespace

bool decode_supports(const DecodeAttention& a) {
  const int elements = a.keys.float8 ? 16 : 8;
  for (const int dim : {a.head_dim, a.value_dim})
    if (dim <= 0 || dim > 256 || dim % elements != 0) return false;
  for (const int size : {a.sequences, a.num_heads, a.num_kv_heads, a.queries.total, a.queries.seq_q,
                         a.alibi_stride, a.lse_batch_stride, a.lse_head_stride, a.keys.table_stride,
                         a.keys.max_pages, a.keys.num_pages, a.keys.page_size, a.keys.seq_k})
    if (size < 0) return false;
  constexpr int64_t kMostKeys = 1 << 30, kMostSteps = INT_MAX;
  return aligned(a.q, 8) && aligned(a.out, 8) && aligned(a.keys.k, elements) && aligned(a.keys.v, elements) &&
         int64_t{a.keys.max_pages} * a.keys.page_size < kMostKeys && a.keys.seq_k < kMostKeys &&
         int64_t{a.queries.total} * a.num_heads / a.num_kv_heads < INT_MAX - kTileRows &&
         decode_steps(DecodeTask(a)) < kMostSteps / 2;
}

cudaError_t decode_workspace(const DecodeAttention& a, size_t& bytes) {
  return entries(a).workspace(a, bytes);
}

cudaError_t decode_attention(const DecodeAttention& a, const DecodeNew& added, cudaStream_t stream) {
  return entries(a).run(a, added, stream);
}

cudaError_t decode_check(const DecodeAttention& a, const DecodeNew& added, int32_t* bad,
                         cudaStream_t stream) {
  constexpr int kThreads = 128;
  return launch<DecodeTask, DecodeNew, int32_t*>({dim3(static_cast<unsigned>(a.sequences)), dim3(kThreads)},
                                                 stream, check_kernel<kThreads>, DecodeTask(a), added, bad);
}

}  // namespace zeta::cuda
