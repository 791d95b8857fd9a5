// Dropout: what a block of probabilities is multiplied by, 0 or 1 / P(keep), as docs/design/attention.md
// defines.
#pragma once

#include "kernels/cpu/attention/block.h"
#include "kernels/cpu/attention/philox.h"
#include "kernels/cpu/attention/scores.h"

namespace zeta::cpu {
namespace {

constexpr int kPhiloxRows = 16;
constexpr int64_t kPhiloxKeys = kKeyAlignment;  // a call's four words have 16 bits for each

// Visits (row, key, factor) of a block that begins at a multiple of kPhiloxKeys.
template <class T, class Visit>
inline void visit_dropout(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, Visit visit) {
  const AttentionDropout& d = in.dropout;
  const uint64_t key = d.seed ^ (d.offset >> 32 << 32);
  const T kept = static_cast<T>(65536.0 / (65536.0 - d.threshold));
  for (int64_t r = 0; r < rows.count; r += kPhiloxRows) {
    const int64_t lanes = std::min<int64_t>(kPhiloxRows, rows.count - r);
    uint32_t position[kPhiloxRows] = {}, head[kPhiloxRows] = {};
    for (int64_t i = 0; i < lanes; ++i) {
      const Row row = row_at(in.shape, rows, r + i);
      position[i] = static_cast<uint32_t>(row.position);
      head[i] = static_cast<uint32_t>(d.first_head + rows.batch * in.shape.num_heads + row.head);
    }
    for (int64_t k = 0; k < keys.count; k += kPhiloxKeys) {
      Philox<kPhiloxRows> random;
      for (int i = 0; i < kPhiloxRows; ++i) {
        random.words[0][i] = static_cast<uint32_t>((keys.first + k) / kPhiloxKeys);
        random.words[1][i] = position[i];
        random.words[2][i] = head[i];
        random.words[3][i] = static_cast<uint32_t>(d.offset);
      }
      random.run(key);
      for (int64_t j = 0; j < std::min(kPhiloxKeys, keys.count - k); ++j) {
        const uint32_t* word = random.words[j / 2];
        const int shift = j % 2 == 0 ? 0 : 16;
        for (int64_t i = 0; i < lanes; ++i)
          visit(r + i, k + j, ((word[i] >> shift) & 0xffff) >= d.threshold ? kept : T(0));
      }
    }
  }
}

template <class T>
inline void drop(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, Scores<T> probabilities) {
  visit_dropout<T>(in, rows, keys, [=](int64_t r, int64_t k, T factor) { probabilities.at(r, k) *= factor; });
}

}  // namespace
}  // namespace zeta::cpu
