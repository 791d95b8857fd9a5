// Causality and the right of a window cut a stair out of a block of scores. Whole tiles beyond it need no
// product.
#pragma once

#include "kernels/cpu/attention/block.h"

namespace zeta::cpu {
namespace {

class Staircase {
 public:
  Staircase(const AttentionInputs& in, const RowBlock& rows, KeyBlock keys)
      : limited_(in.causal || in.window_right >= 0),
        group_(group_size(in.shape)),
        rows_(rows),
        keys_(keys.count),
        // Row r sees keys of the block before (rows.first + r) / group + shift.
        shift_(in.shape.seq_k - in.shape.seq_q + (in.causal ? 0 : in.window_right) + 1 - keys.first) {}

  // How many keys rows up to and with `row` see, from the block's first on.
  int64_t keys_before(int64_t row) const {
    if (!limited_) return keys_;
    const int64_t last = rows_.first + std::min(row, rows_.count - 1);
    return std::clamp<int64_t>(last / group_ + shift_, 0, keys_);
  }

  // The first row that sees `key`; rows before it do not.
  int64_t first_row(int64_t key) const {
    if (!limited_) return 0;
    return std::clamp<int64_t>((key + 1 - shift_) * group_ - rows_.first, 0, rows_.count);
  }

 private:
  bool limited_;
  int64_t group_;
  RowBlock rows_;
  int64_t keys_;
  int64_t shift_;
};

}  // namespace
}  // namespace zeta::cpu
