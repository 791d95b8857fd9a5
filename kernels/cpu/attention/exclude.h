// Which (row, key) pairs may attend: causality, the window and the mask, decided a block at a time.
#pragma once

#include <cstring>
#include <limits>

#include "kernels/cpu/attention/block.h"
#include "kernels/cpu/attention/scores.h"

namespace zeta::cpu {
namespace {

enum class Coverage { kNone, kSome, kAll };

inline const bool* mask_row(const AttentionMask& m, int64_t batch, Row row) {
  return m.data + batch * m.batch_stride + row.head * m.head_stride + row.position * m.query_stride;
}

inline bool contains(const bool* mask, int64_t key_stride, KeyBlock keys, bool value) {
  mask += keys.first * key_stride;
  if (key_stride == 0) return *mask == value;
  if (key_stride == 1) return std::memchr(mask, value, static_cast<size_t>(keys.count)) != nullptr;
  for (int64_t k = 0; k < keys.count; ++k)
    if (mask[k * key_stride] == value) return true;
  return false;
}

// What the mask (not causality or the window) lets through of a block.
inline Coverage coverage(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys) {
  if (in.mask.data == nullptr) return Coverage::kAll;
  bool some = false, all = true;
  const bool* previous = nullptr;
  for (int64_t r = 0; r < rows.count && (all || !some); ++r) {
    const bool* mask = mask_row(in.mask, rows.batch, row_at(in.shape, rows, r));
    if (mask == previous) continue;
    previous = mask;
    some = some || contains(mask, in.mask.key_stride, keys, true);
    all = all && !contains(mask, in.mask.key_stride, keys, false);
  }
  return all ? Coverage::kAll : some ? Coverage::kSome : Coverage::kNone;
}

// Whether every row of the block sees every key, as far as causality and the window go.
inline bool all_visible(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys) {
  return visible_keys(in, row_at(in.shape, rows, 0).position).end >= keys.first + keys.count &&
         visible_keys(in, row_at(in.shape, rows, rows.count - 1).position).begin <= keys.first;
}

// Set the score of every pair that may not attend to -inf.
template <class T>
inline void exclude(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys, Coverage mask_coverage,
                    Scores<T> scores) {
  constexpr T kNever = -std::numeric_limits<T>::infinity();
  const bool visible = all_visible(in, rows, keys);
  if (visible && mask_coverage == Coverage::kAll) return;
  for (int64_t r = 0; r < rows.count; ++r) {
    const Row row = row_at(in.shape, rows, r);
    if (!visible) {
      const KeyRange seen = visible_keys(in, row.position);
      for (int64_t k = 0; k < std::min(seen.begin - keys.first, keys.count); ++k) scores.at(r, k) = kNever;
      for (int64_t k = std::max<int64_t>(seen.end - keys.first, 0); k < keys.count; ++k)
        scores.at(r, k) = kNever;
    }
    if (mask_coverage == Coverage::kAll) continue;
    const bool* mask = mask_row(in.mask, rows.batch, row) + keys.first * in.mask.key_stride;
    for (int64_t k = 0; k < keys.count; ++k)
      if (!mask[k * in.mask.key_stride]) scores.at(r, k) = kNever;
  }
}

}  // namespace
}  // namespace zeta::cpu
