#include "src/nn/kv_cache.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace zeta::nn {
namespace {

constexpr int64_t kLayers = 2, kHeads = 3, kHeadDim = 4, kMax = 150;

// Keys of tokens [begin, begin + n): every element says layer, token and head.
at::Tensor rows(int64_t layer, int64_t begin, int64_t n) {
  at::Tensor out = at::empty({n, kHeads, kHeadDim});
  for (int64_t t = 0; t < n; ++t) {
    for (int64_t h = 0; h < kHeads; ++h)
      out[t][h].fill_(static_cast<double>(layer * 10000 + (begin + t) * 10 + h));
  }
  return out;
}

void append(KvCache& cache, int64_t n) {
  const int64_t begin = cache.size();
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    cache.append(layer, rows(layer, begin, n), rows(layer, begin, n).neg());
  }
  cache.advance(n);
}

TEST(KvCache, KeepsWhatItHoldsWhileGrowing) {
  KvCache cache(kLayers, kHeads, kHeadDim, at::kFloat, kMax);
  EXPECT_EQ(cache.bytes(), 0u);
  for (int64_t n : {1, 5, 60, 1, 80, 3}) {
    cache.reserve(cache.size() + n);
    append(cache, n);
  }
  ASSERT_EQ(cache.size(), kMax);
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const at::Tensor expected = rows(layer, 0, kMax).unsqueeze(0);
    EXPECT_TRUE(at::equal(cache.keys(layer, kMax), expected));
    EXPECT_TRUE(at::equal(cache.values(layer, kMax), expected.neg()));
    EXPECT_TRUE(at::equal(cache.keys(layer, 7), expected.narrow(1, 0, 7)));
  }
}

TEST(KvCache, GrowsByDoublingUpToItsLimit) {
  KvCache cache(kLayers, kHeads, kHeadDim, at::kFloat, kMax);
  const size_t per_token = 2 * kLayers * kHeads * kHeadDim * sizeof(float);
  std::vector<size_t> capacities;
  for (int64_t tokens = 1; tokens <= kMax; ++tokens) {
    cache.reserve(tokens);
    if (capacities.empty() || cache.bytes() / per_token != capacities.back()) {
      capacities.push_back(cache.bytes() / per_token);
    }
  }
  EXPECT_EQ(capacities, (std::vector<size_t>{64, 128, kMax}));
}

TEST(KvCache, RefusesWhatWasNotReserved) {
  KvCache cache(kLayers, kHeads, kHeadDim, at::kFloat, kMax);
  EXPECT_THROW(cache.reserve(kMax + 1), c10::Error);
  EXPECT_THROW(append(cache, 1), c10::Error);
}

}  // namespace
}  // namespace zeta::nn
