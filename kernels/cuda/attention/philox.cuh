// Dropout's random bits: Philox4x32-10 of a position, as docs/design/attention.md defines, so that every
// device drops the same.
#pragma once

#include <cstdint>

namespace zeta::cuda {

// A head's dropout in a kernel.
struct Dropout {
  uint32_t threshold;
  uint32_t key_low, key_high, offset, head;

  __device__ Dropout(uint32_t threshold_, const int64_t* rng_state, int head_)
      : threshold(threshold_), head(static_cast<uint32_t>(head_)) {
    if (threshold == 0) return;
    const auto seed = static_cast<uint64_t>(rng_state[0]), its_offset = static_cast<uint64_t>(rng_state[1]);
    key_low = static_cast<uint32_t>(seed);
    key_high = static_cast<uint32_t>(seed >> 32) ^ static_cast<uint32_t>(its_offset >> 32);
    offset = static_cast<uint32_t>(its_offset);
  }

  __device__ float kept() const { return 65536.0f / (65536.0f - static_cast<float>(threshold)); }

  // Bit b: whether key 8 · key_group + b of a query is kept.
  __device__ __forceinline__ uint32_t keep_byte(int key_group, int query) const {
    uint32_t c[4] = {static_cast<uint32_t>(key_group), static_cast<uint32_t>(query), head, offset};
    uint32_t low = key_low, high = key_high;
#pragma unroll
    for (int round = 0; round < 10; ++round) {
      const uint32_t a = c[0] * 0xD2511F53u, a_high = __umulhi(c[0], 0xD2511F53u);
      const uint32_t b = c[2] * 0xCD9E8D57u, b_high = __umulhi(c[2], 0xCD9E8D57u);
      c[0] = b_high ^ c[1] ^ low, c[1] = b, c[2] = a_high ^ c[3] ^ high, c[3] = a;
      low += 0x9E3779B9u, high += 0xBB67AE85u;
    }
    uint32_t kept = 0;
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      kept |= uint32_t{(c[word] & 0xffff) >= threshold} << 2 * word;
      kept |= uint32_t{c[word] >> 16 >= threshold} << (2 * word + 1);
    }
    return kept;
  }
};

// Which of a thread's two rows × kColumns / 4 columns of an accumulator are kept (wgmma.cuh has the layout).
// Lanes share the work: each asks for bytes of keys that others have too.
//
// QueryRows: rows are queries; a quad holds 8 keys of a row, in order.
template <int kColumns>
struct QueryRowsKept {
  static constexpr int kBytes = kColumns / 8 / 4;  // that a lane computes for a row: of every fourth 8 keys
  uint32_t words[2];
  static_assert(kBytes <= 4, "a word holds them");

  __device__ __forceinline__ void draw(const Dropout& dropout, int row, int first_key) {
    const int lane = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      words[half] = 0;
#pragma unroll 1
      for (int i = 0; i < kBytes; ++i)
        words[half] |= dropout.keep_byte(first_key / 8 + 4 * i + lane, row + 8 * half) << 8 * i;
    }
  }

  template <int kCount>
  __device__ __forceinline__ void apply(float (&p)[kCount]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int source = 0; source < 4; ++source) {
        const uint32_t word = __shfl_sync(~0u, words[half], lane / 4 * 4 + source) >> 2 * (lane % 4);
#pragma unroll
        for (int i = 0; i < kBytes; ++i)
#pragma unroll
          for (int j = 0; j < 2; ++j)
            if (!(word >> (8 * i + j) & 1)) p[4 * (4 * i + source) + 2 * half + j] = 0;
      }
  }
};

// KeyRows: rows are keys, of which eight lanes hold 8 in order; columns are queries.
template <int kColumns>
struct KeyRowsKept {
  static constexpr int kWords = (kColumns + 63) / 64, kPieces = kColumns / 8;
  uint32_t words[kWords];  // of the 8 queries that this lane draws: bytes 2 · (which of two queries) + half

  __device__ __forceinline__ void draw(const Dropout& dropout, int first_key, int first_query) {
    const int lane = static_cast<int>(threadIdx.x) % 32, drawn = lane / 4;
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      words[w] = 0;
      if (8 * w + drawn >= kPieces) continue;
#pragma unroll 1
      for (int i = 0; i < 4; ++i)
        words[w] |= dropout.keep_byte(first_key / 8 + i % 2,
                                      first_query + 8 * (8 * w + drawn) + 2 * (lane % 4) + i / 2)
                    << 8 * i;
    }
  }

  // Bit i: whether element i of piece `piece` (four elements of the accumulator) is kept.
  __device__ __forceinline__ uint32_t piece(int index) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const uint32_t word = __shfl_sync(~0u, words[index / 8], index % 8 * 4 + lane % 4) >> lane / 4;
    // element 2 · half + j is query j's byte `half`
    return (word & 1) | (word >> 16 & 1) << 1 | (word >> 8 & 1) << 2 | (word >> 24 & 1) << 3;
  }
};

}  // namespace zeta::cuda
