// What goes before: the counters of shared items at zero, new keys and values written into the cache, queries
// and keys rotated.
#pragma once

#include <cstdint>

#include "kernels/cuda/decode/merge.cuh"

namespace zeta::cuda {

// The page's row where a key goes; null where that lies outside.
template <class C>
__device__ C* cache_row(const DecodeTask& a, const DecodeTensor& t, int sequence, int key, int head) {
  const int size = a.keys.page_size, page = a.keys.table[sequence * a.keys.table_stride + key / size];
  if (page < 0 || page >= a.keys.num_pages) return nullptr;
  return static_cast<C*>(t.data) + int64_t{page} * t.batch_stride + int64_t{key % size} * t.seq_stride +
         int64_t{head} * t.head_stride;
}

template <class T>
__device__ T rotated(const DecodeNew& n, const T* x, int dim, int position) {
  if (n.cos == nullptr || dim >= n.rotary_dim) return x[dim];
  if (position < 0 || position >= n.positions) return from_float<T>(NAN);
  const int half = n.rotary_dim / 2;
  const int pair = n.interleaved ? dim / 2 : dim % half;
  const bool second = n.interleaved ? dim % 2 == 1 : dim >= half;
  const int other = n.interleaved ? dim ^ 1 : second ? dim - half : dim + half;
  const float cos = n.cos[int64_t{position} * half + pair], sin = n.sin[int64_t{position} * half + pair];
  const float product = __fmul_rn(to_float(x[other]), sin);
  return from_float<T>(__fmul_rn(to_float(x[dim]), cos) + (second ? product : -product));
}

__device__ inline void store_key(__half* to, __half x, float) { *to = x; }
__device__ inline void store_key(__nv_bfloat16* to, __nv_bfloat16 x, float) { *to = x; }
template <class T>
__device__ void store_key(Float8* to, T x, float descale) {
  to->__x = __nv_cvt_float_to_fp8(__fdiv_rn(to_float(x), descale), __NV_SATFINITE, __NV_E4M3);
}

__device__ inline int sequence_of(const DecodeTask& a, int row) {
  if (a.queries.cu_seqlens == nullptr) return row / a.queries.seq_q;
  int low = 0, high = a.sequences;  // the last that does not begin behind it
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (a.queries.cu_seqlens[middle] <= row ? low : high) = middle;
  }
  return low;
}

template <class T, class C>
__device__ void append(const DecodeTask& a, const DecodeNew& n, int sequence, int batch, int position,
                       int key) {
  const int kv_heads = a.num_kv_heads;
  const int width = a.head_dim + a.value_dim;
  const auto descale = [&](const float* scales, const int32_t* strides, int head) {
    return scales == nullptr ? 1 : scales[int64_t{sequence} * strides[0] + head * strides[1]];
  };
  const auto start = [&](const DecodeTensor& t, int head) {
    return static_cast<const T*>(t.data) + int64_t{batch} * t.batch_stride +
           int64_t{position} * t.seq_stride + int64_t{head} * t.head_stride;
  };
  for (int i = threadIdx.x; i < kv_heads * width; i += blockDim.x) {
    const int head = i / width, dim = i % width, value = dim - a.head_dim;
    const bool is_key = value < 0;
    C* to = cache_row<C>(a, is_key ? a.keys.k : a.keys.v, sequence, key, head);
    if (to == nullptr) continue;
    if (is_key)
      store_key(to + dim, rotated(n, start(n.k, head), dim, key),
                descale(a.keys.k_descale, a.keys.k_descale_strides, head));
    else
      store_key(to + value, start(n.v, head)[value],
                descale(a.keys.v_descale, a.keys.v_descale_strides, head));
  }
}

// One block for each query.
template <class T, class C>
__global__ void prepare_kernel(const __grid_constant__ DecodeTask a, const __grid_constant__ DecodeNew n,
                               unsigned counters) {
  let_next_grid_start();
  auto* const arrived = static_cast<int32_t*>(a.workspace);
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < counters; i += gridDim.x * blockDim.x)
    arrived[i] = 0;
  if (n.k.data == nullptr && n.cos == nullptr) return;
  const int row = static_cast<int>(blockIdx.x), sequence = sequence_of(a, row);
  const DecodeSequence s = decode_sequence(a, sequence);
  const bool packed = a.queries.cu_seqlens != nullptr;
  const int index = packed ? row - s.first_row : row % a.queries.seq_q;
  if (index < 0 || index >= s.queries) return;
  const int key = s.keys - s.queries + index;
  const int batch = packed ? 0 : sequence, position = packed ? row : index;
  if (n.k.data != nullptr && !s.bad) append<T, C>(a, n, sequence, batch, position, key);
  if (n.cos == nullptr) return;
  auto* const to = static_cast<T*>(n.rotated_q) + int64_t{row} * a.num_heads * a.head_dim;
  const T* const from = static_cast<const T*>(a.q.data) + int64_t{batch} * a.q.batch_stride +
                        int64_t{position} * a.q.seq_stride;
  for (int i = threadIdx.x; i < a.num_heads * a.head_dim; i += blockDim.x) {
    const int head = i / a.head_dim, dim = i % a.head_dim;
    to[i] = rotated(n, from + int64_t{head} * a.q.head_stride, dim, s.bad ? -1 : key);
  }
}

// A block for each sequence.
template <int kThreads>
__global__ void check_kernel(const __grid_constant__ DecodeTask a, const __grid_constant__ DecodeNew n,
                             int32_t* bad) {
  const int b = static_cast<int>(blockIdx.x);
  const int32_t* const starts = a.queries.cu_seqlens;
  if (starts != nullptr && threadIdx.x == 0 &&
      (starts[b + 1] < starts[b] || (b == 0 && starts[0] != 0) ||
       (b == a.sequences - 1 && starts[b + 1] != a.queries.total)))
    *bad = 1;
  const DecodeSequence s = decode_sequence(a, b);
  if (s.bad) {
    *bad = 1;
    return;
  }
  if (n.cos != nullptr && s.queries > 0 && (s.keys < s.queries || s.keys > n.positions)) *bad = 1;
  const int pages = (s.keys + a.keys.page_size - 1) / a.keys.page_size;
  for (int i = threadIdx.x; i < pages; i += kThreads) {
    const int page = a.keys.table[b * a.keys.table_stride + i];
    if (page < 0 || page >= a.keys.num_pages) *bad = 1;
  }
}

}  // namespace zeta::cuda
