// What a misspelt word was meant to be.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace zeta {

// Letters to insert, remove or replace to make `b` of `a`.
inline size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

// The word of `known`, a range of strings, that is nearest to `word` and at most two letters away; "" when
// none is. Views into `known`. Short words have too many neighbours: of fewer than six letters none is
// recognised.
template <class Words>
std::string_view nearest(std::string_view word, const Words& known) {
  constexpr size_t kShortest = 6, kFarthest = 2;
  std::string_view best;
  size_t distance = word.size() < kShortest ? 0 : kFarthest + 1;
  for (const std::string_view candidate : known) {
    const size_t longer = std::max(word.size(), candidate.size());
    if (longer - std::min(word.size(), candidate.size()) >= distance) continue;
    const size_t d = edit_distance(word, candidate);
    if (d < distance) best = candidate, distance = d;
  }
  return best;
}

}  // namespace zeta
