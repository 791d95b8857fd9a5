#include "src/ops/flash_attention_dropout.h"

#include <ATen/ATen.h>

#include <array>

#include "src/ops/flash_attention_check.h"

namespace zeta::ops {
namespace {

using at::Tensor;

constexpr int64_t kLow = 0xffffffff;  // 32-bit words in int64, whose products wrap as those of uint64 do

Tensor low(const Tensor& t) { return t.bitwise_and(kLow); }
Tensor high(const Tensor& t) { return t.__rshift__(32).bitwise_and_(kLow); }

// Philox4x32-10.
std::array<Tensor, 4> philox(std::array<Tensor, 4> c, Tensor key_low, Tensor key_high) {
  for (int round = 0; round < 10; ++round) {
    const Tensor a = c[0] * int64_t{0xD2511F53}, b = c[2] * int64_t{0xCD9E8D57};
    c = {high(b).bitwise_xor(c[1]).bitwise_xor(key_low), low(b),
         high(a).bitwise_xor(c[3]).bitwise_xor(key_high), low(a)};
    key_low = low(key_low + 0x9E3779B9);
    key_high = low(key_high + 0xBB67AE85);
  }
  return c;
}

}  // namespace

Tensor attention_dropout_factors(const Tensor& rng_state, double dropout_p, int64_t batch, int64_t heads,
                                 int64_t first_head, int64_t first, int64_t count, int64_t seq_k,
                                 at::ScalarType type) {
  const int64_t threshold = attention_dropout_threshold(dropout_p), groups = (seq_k + 7) / 8;
  const auto indices = rng_state.options();
  const Tensor seed = rng_state[0], offset = rng_state[1];
  const auto words = philox(
      {at::arange(groups, indices).expand({batch * heads, count, groups}),
       at::arange(first, first + count, indices).unsqueeze(1),
       at::arange(first_head, first_head + batch * heads, indices).view({batch * heads, 1, 1}), low(offset)},
      low(seed), high(seed).bitwise_xor(high(offset)));
  std::array<Tensor, 8> halves;
  for (size_t j = 0; j < 8; ++j)
    halves[j] = (j % 2 == 0 ? words[j / 2] : words[j / 2].__rshift__(16)).bitwise_and(0xffff);
  const Tensor kept = at::stack(halves, -1).flatten(-2).narrow(-1, 0, seq_k) >= threshold;
  return kept.to(type)
      .mul_(65536.0 / static_cast<double>(65536 - threshold))
      .view({batch, heads, count, seq_k});
}

}  // namespace zeta::ops
