// Twelve rows times 32 columns stay in registers while k runs; both operands are copied so that it walks over
// them without a stride, which powers of two would put on the same few lines of the cache.
#include "kernels/cpu/matmul/matmul.h"

#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/scratch.h"

namespace zeta::cpu::avx512 {
namespace {

constexpr int64_t kRows = 12, kColumns = 32, kDepth = 512;
constexpr int64_t kPanel = 85 * kRows;  // rows of a copied at a time: 2 MiB

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Columns [k, k + depth) of a: a panel [depth][kRows] for every 12 rows, zeros past the last.
void pack_left(const MatMul& args, int64_t k, int64_t depth, float* to) {
  for (int64_t m = 0; m < args.m; m += kRows, to += kDepth * kRows) {
    const int64_t rows = smaller(kRows, args.m - m);
    const float* from = args.a + m * args.a_row + k * args.a_column;
    if (rows < kRows) std::memset(to, 0, sizeof(float) * kDepth * kRows);
    if (args.a_row == 1) {
      for (int64_t j = 0; j < depth; ++j) {
        const float* column = from + j * args.a_column;
        if (rows == kRows)  // of a known size, and so without a call
          std::memcpy(to + j * kRows, column, sizeof(float) * kRows);
        else
          std::memcpy(to + j * kRows, column, sizeof(float) * static_cast<size_t>(rows));
      }
      continue;
    }
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t j = 0; j < depth; ++j) to[j * kRows + row] = from[row * args.a_row + j * args.a_column];
    }
  }
}

struct Lanes {
  __mmask16 left, right;
};

void pack_right(const MatMul& args, int64_t k, int64_t depth, int64_t n, Lanes lanes, float* to) {
  for (int64_t j = 0; j < depth; ++j) {
    const float* from = args.b + (k + j) * args.b_stride + n;
    _mm512_store_ps(to + j * kColumns, _mm512_maskz_loadu_ps(lanes.left, from));
    _mm512_store_ps(to + j * kColumns + 16, _mm512_maskz_loadu_ps(lanes.right, from + 16));
  }
}

// c (rows × 32 columns) = or += left · right.
void multiply(const float* left, const float* right, int64_t depth, float* c, int64_t stride, int64_t rows,
              Lanes lanes, bool add) {
  __m512 sum[kRows][2];
#pragma GCC unroll 12
  for (int64_t row = 0; row < kRows; ++row) sum[row][0] = sum[row][1] = _mm512_setzero_ps();
  for (int64_t row = 0; add && row < rows; ++row) {  // while k runs, the sums so far come
    _mm_prefetch(c + row * stride, _MM_HINT_T0);
    _mm_prefetch(c + row * stride + 16, _MM_HINT_T0);
  }
  for (int64_t j = 0; j < depth; ++j) {
    const __m512 b0 = _mm512_load_ps(right + j * kColumns), b1 = _mm512_load_ps(right + j * kColumns + 16);
#pragma GCC unroll 12
    for (int64_t row = 0; row < kRows; ++row) {
      const __m512 a = _mm512_set1_ps(left[j * kRows + row]);
      sum[row][0] = _mm512_fmadd_ps(a, b0, sum[row][0]);
      sum[row][1] = _mm512_fmadd_ps(a, b1, sum[row][1]);
    }
  }
#pragma GCC unroll 12
  for (int64_t row = 0; row < kRows; ++row) {
    if (row >= rows) break;
    float* to = c + row * stride;
    if (add) {
      sum[row][0] = _mm512_add_ps(sum[row][0], _mm512_maskz_loadu_ps(lanes.left, to));
      sum[row][1] = _mm512_add_ps(sum[row][1], _mm512_maskz_loadu_ps(lanes.right, to + 16));
    }
    _mm512_mask_storeu_ps(to, lanes.left, sum[row][0]);
    _mm512_mask_storeu_ps(to + 16, lanes.right, sum[row][1]);
  }
}

// Columns [begin, end) of c for a of at most kPanel rows.
void multiply_panel(const MatMul& args, int64_t begin, int64_t end, float* left, float* right) {
  for (int64_t k = 0; k == 0 || k < args.k; k += kDepth) {
    const int64_t depth = smaller(kDepth, args.k - k);
    pack_left(args, k, depth, left);
    for (int64_t n = begin; n < end; n += kColumns) {
      const int64_t columns = smaller(kColumns, end - n);
      const auto present = static_cast<uint32_t>((uint64_t{1} << columns) - 1);
      const Lanes lanes{static_cast<__mmask16>(present), static_cast<__mmask16>(present >> 16)};
      pack_right(args, k, depth, n, lanes, right);
      for (int64_t m = 0; m < args.m; m += kRows) {
        multiply(left + m * kDepth, right, depth, args.c + m * args.n + n, args.n, smaller(kRows, args.m - m),
                 lanes, k > 0);
      }
    }
  }
}

}  // namespace

void matmul(const MatMul& args, int64_t begin, int64_t end) {
  if (begin == end || args.m == 0) return;
  const int64_t most = smaller(args.m, kPanel);
  const Scratch<float> left((most + kRows - 1) / kRows * kRows * kDepth), right(kDepth * kColumns);
  for (int64_t m = 0; m < args.m; m += kPanel) {
    MatMul panel = args;
    panel.a += m * args.a_row;
    panel.c += m * args.n;
    panel.m = smaller(kPanel, args.m - m);
    multiply_panel(panel, begin, end, left.data, right.data);
  }
}

}  // namespace zeta::cpu::avx512
