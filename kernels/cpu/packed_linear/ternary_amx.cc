// Ternary weights times int8 activations on AMX tiles, for matrices; few rows go the way of AVX-512 VNNI.
//
// As there, a packed byte is multiplied whole and masked to 6, 4 and 2 bits, and the differences are the four
// rows' sums. Two tiles of activations meet two of weights, so that a tile loaded is used twice.
#include <cstring>

#include "kernels/cpu/packed_linear/ternary_tile_avx512.h"

namespace zeta::cpu::amx {
namespace {

constexpr int64_t kRows = 32;  // of activations at a time: two tiles
constexpr int64_t kFewest = 16;

// Tiles 0 to 3 hold sums, 4 and 5 activations, 6 and 7 weights: all of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// gcc 12's tile intrinsics do not say that they read and write memory.
inline void order_memory() { asm volatile("" ::: "memory"); }

struct Buffers {
  explicit Buffers(const TernaryLinear& args)
      : bytes((args.k + 63) / 64 * 64 * 16),
        weights(bytes * 4),
        last(kRows * args.q_stride),
        sums(4 * kRows * 16) {}
  const int64_t bytes;       // of a tile of packed rows
  Scratch<uint8_t> weights;  // masked to 2, 4, 6 and 8 bits
  Scratch<int8_t> last;      // the last activations, with rows of anything after them
  Scratch<int32_t> sums;     // (part, row, lane)
};

void relay(const TernaryLinear& args, int64_t r, int64_t rows, Buffers& to) {
  uint8_t* whole = to.weights.data + 3 * to.bytes;
  relay_ternary(args, r, rows, whole);
  for (int64_t at = 0; at < to.bytes; at += 64) {
    const __m512i bytes = _mm512_load_si512(whole + at);
    for (int64_t part = 0; part < 3; ++part) {
      const __m512i mask = _mm512_set1_epi8(static_cast<char>((4 << 2 * part) - 1));
      _mm512_store_si512(to.weights.data + part * to.bytes + at, _mm512_and_si512(bytes, mask));
    }
  }
}

// 32 rows of activations times parts `part` and `part` + 1.
void multiply(const int8_t* q, int64_t stride, const uint8_t* weights, int64_t bytes, int32_t* sums) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t at = 0; at < bytes; at += 1024, q += 64) {
    _tile_loadd(4, q, stride);
    _tile_loadd(6, weights + at, 64);
    _tile_loadd(7, weights + bytes + at, 64);
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_loadd(5, q + 16 * stride, stride);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kRows * 16, 64);
  _tile_stored(2, sums + kRows * 8, 64);
  _tile_stored(3, sums + (kRows + 16) * 16, 64);
}

void write(const TernaryLinear& args, int64_t m, int64_t rows, int64_t r, __mmask16 lanes,
           const int32_t* sums) {
  for (int64_t row = 0; row < rows; ++row) {
    __m512i below = _mm512_setzero_si512();
    for (int64_t part = 0; part < 4; ++part) {
      const __m512i sum = _mm512_load_si512(sums + (part * kRows + row) * 16);
      const __m512i dots = _mm512_srai_epi32(_mm512_sub_epi32(sum, below), static_cast<unsigned>(2 * part));
      write_ternary(args, m + row, r, part, lanes, dots);
      below = sum;
    }
  }
}

}  // namespace

void ternary_linear(const TernaryLinear& args, int64_t begin, int64_t end) {
  if (args.m < kFewest || args.k > kTernaryBlock) return avx512_vnni::ternary_linear(args, begin, end);
  Buffers buffers(args);
  const int64_t whole = args.m / kRows * kRows, stride = args.q_stride;
  std::memset(buffers.last.data, 0, static_cast<size_t>(kRows * stride));
  std::memcpy(buffers.last.data, args.q + whole * stride, static_cast<size_t>((args.m - whole) * stride));
  static constexpr TileConfig kConfig;  // constant, as the intrinsic names only its first bytes as its input
  _tile_loadconfig(&kConfig);
  for (int64_t r = begin; r < end; r += kTernaryTile) {
    const int64_t packed_rows = end - r < kTernaryTile ? end - r : kTernaryTile;
    const auto lanes = static_cast<__mmask16>((1u << packed_rows) - 1);
    relay(args, r, packed_rows, buffers);
    for (int64_t m = 0; m < args.m; m += kRows) {
      const int8_t* q = m < whole ? args.q + m * stride : buffers.last.data;
      order_memory();
      for (int64_t part = 0; part < 4; part += 2) {
        multiply(q, stride, buffers.weights.data + part * buffers.bytes, buffers.bytes,
                 buffers.sums.data + part * kRows * 16);
      }
      order_memory();
      write(args, m, args.m - m < kRows ? args.m - m : kRows, r, lanes, buffers.sums.data);
    }
  }
  _tile_release();
}

}  // namespace zeta::cpu::amx
