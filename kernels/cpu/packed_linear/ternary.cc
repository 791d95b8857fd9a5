#include "kernels/cpu/packed_linear/ternary.h"

#include <algorithm>

#include "kernels/cpu/isa.h"

namespace zeta::cpu {
namespace scalar {
namespace {

constexpr int64_t kTileM = 64, kTileK = 256;

struct Tile {
  int8_t codes[4][kTileK];
  int32_t sums[kTileM][4];
};

void unpack(const uint8_t* packed, int64_t count, Tile& tile) {
  for (int i = 0; i < 4; ++i) {
    for (int64_t k = 0; k < count; ++k) tile.codes[i][k] = static_cast<int8_t>(packed[k] >> 2 * i & 3);
  }
}

int32_t dot(const int8_t* codes, const int8_t* q, int64_t count) {
  int32_t sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += codes[k] * q[k];
  return sum;
}

}  // namespace

void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end) {
  const int64_t quarter = args.n / 4;
  Tile tile;
  for (int64_t m0 = 0; m0 < args.m; m0 += kTileM) {
    const int64_t rows = std::min(kTileM, args.m - m0);
    for (int64_t r = begin; r < end; ++r) {
      std::fill_n(&tile.sums[0][0], kTileM * 4, 0);
      for (int64_t k0 = 0; k0 < args.k; k0 += kTileK) {
        const int64_t count = std::min(kTileK, args.k - k0);
        unpack(args.packed + r * args.k + k0, count, tile);
        for (int64_t m = 0; m < rows; ++m) {
          const int8_t* q = args.q + (m0 + m) * args.q_stride + k0;
          for (int i = 0; i < 4; ++i) tile.sums[m][i] += dot(tile.codes[i], q, count);
        }
      }
      for (int64_t m = m0; m < m0 + rows; ++m) {
        for (int i = 0; i < 4; ++i) {
          const int64_t column = r + i * quarter;
          const float y = static_cast<float>(tile.sums[m - m0][i] - args.q_sum[m]) * args.row_scale[m];
          args.out[m * args.n + column] = args.bias == nullptr ? y : y + args.bias[column];
        }
      }
    }
  }
}

}  // namespace scalar

void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end) {
  if (isa() >= Isa::kAmx) return amx::ternary_linear(args, begin, end);
  if (isa() >= Isa::kAvx512Vnni) return avx512_vnni::ternary_linear(args, begin, end);
  (isa() >= Isa::kAvx2 ? avx2::ternary_linear : scalar::ternary_linear)(args, begin, end);
}

}  // namespace zeta::cpu
