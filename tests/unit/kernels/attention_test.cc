#include "kernels/cpu/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "kernels/cpu/attention/element.h"
#include "kernels/cpu/attention/philox.h"
#include "tests/unit/kernels/attention_formula.h"

namespace zeta::cpu {
namespace {

enum class MaskKind { kNone, kRandom, kPadding };

struct Case {
  AttentionShape shape;
  bool causal = false;
  MaskKind mask = MaskKind::kNone;
  bool options = false;  // window, softcap, bias, ALiBi, sinks and dropout together
};

std::ostream& operator<<(std::ostream& os, const Case& c) {
  const AttentionShape& s = c.shape;
  return os << "b" << s.batch << " q" << s.seq_q << " k" << s.seq_k << " h" << s.num_heads << "/"
            << s.num_kv_heads << " d" << s.head_dim << "," << s.value_dim << (c.causal ? " causal" : "")
            << " mask" << static_cast<int>(c.mask) << (c.options ? " options" : "");
}

template <class S>
constexpr ElementType kType = ElementType::kFloat32;
template <>
constexpr ElementType kType<BFloat16> = ElementType::kBFloat16;
template <>
constexpr ElementType kType<Half> = ElementType::kFloat16;
template <>
constexpr ElementType kType<double> = ElementType::kFloat64;

// Half the distance from 1 to the next number.
template <class S>
constexpr double kUnitRoundoff = std::numeric_limits<S>::epsilon() / 2;
template <>
constexpr double kUnitRoundoff<BFloat16> = 0x1p-8;
template <>
constexpr double kUnitRoundoff<Half> = 0x1p-11;

// Storage of S whose rows are spread apart, the gaps full of NaN, which a kernel that reads them would
// spread.
template <class S>
struct Strided {
  static constexpr int64_t kGap = 3;
  std::vector<S> data;
  AttentionTensor tensor;

  explicit Strided(const Values& v, int64_t batch)
      : data(static_cast<size_t>(batch * v.seq * v.heads * (v.dim + kGap)),
             Narrow<S>::from(std::numeric_limits<float>::quiet_NaN())) {
    const int64_t row = v.dim + kGap;
    tensor = {data.data(), v.seq * v.heads * row, row, v.seq * row};  // heads before positions
  }
  S& at(int64_t b, int64_t s, int64_t h, int64_t d) {
    return data[static_cast<size_t>(b * tensor.batch_stride + s * tensor.seq_stride + h * tensor.head_stride +
                                    d)];
  }
};

template <class Visit>
void each(const Values& v, Visit visit) {
  if (v.data.empty()) return;
  const int64_t batch = static_cast<int64_t>(v.data.size()) / (v.seq * v.heads * v.dim);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t s = 0; s < v.seq; ++s)
      for (int64_t h = 0; h < v.heads; ++h)
        for (int64_t d = 0; d < v.dim; ++d) visit(b, s, h, d);
}

template <class S>
struct Problem {
  Problem(const Case& c, unsigned seed)
      : shape(c.shape),
        random(seed),
        q(draw(shape.seq_q, shape.num_heads, shape.head_dim)),
        k(draw(shape.seq_k, shape.num_kv_heads, shape.head_dim)),
        v(draw(shape.seq_k, shape.num_kv_heads, shape.value_dim)),
        grad_out(draw(shape.seq_q, shape.num_heads, shape.value_dim)) {
    if (c.mask == MaskKind::kRandom) {
      // Distinct for every pair; row 0 of every head attends nothing.
      mask.resize(static_cast<size_t>(shape.batch * shape.num_heads * shape.seq_q * shape.seq_k));
      for (size_t i = 0; i < mask.size(); ++i)
        mask[i] = random() % 3 != 0 && static_cast<int64_t>(i) / shape.seq_k % shape.seq_q != 0;
      view = {nullptr, shape.num_heads * shape.seq_q * shape.seq_k, shape.seq_q * shape.seq_k, shape.seq_k,
              1};
    } else if (c.mask == MaskKind::kPadding) {
      mask.resize(static_cast<size_t>(shape.batch * shape.seq_k * 2));
      for (size_t i = 0; i < mask.size(); ++i)
        mask[i] = static_cast<int64_t>(i) / 2 % shape.seq_k >= shape.seq_k / 2;
      view = {nullptr, shape.seq_k * 2, 0, 0, 2};
    }
    view.data = mask.empty() ? nullptr : reinterpret_cast<const bool*>(mask.data());
  }

  Strided<S> draw(int64_t seq, int64_t heads, int64_t dim) {
    const Values v_(shape.batch, seq, heads, dim);
    Strided<S> t(v_, shape.batch);
    std::uniform_real_distribution<float> uniform(-1, 1);
    each(v_, [&](auto... i) { t.at(i...) = Narrow<S>::from(uniform(random)); });
    return t;
  }
  Values exact(Strided<S>& t, int64_t seq, int64_t heads, int64_t dim) {
    Values x(shape.batch, seq, heads, dim);
    each(x, [&](auto... i) { x.at(i...) = widen(t.at(i...)); });
    return x;
  }
  bool allowed(bool causal, int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (causal && j > i + shape.seq_k - shape.seq_q) return false;
    return view.data == nullptr || view.data[b * view.batch_stride + h * view.head_stride +
                                             i * view.query_stride + j * view.key_stride];
  }

  AttentionShape shape;
  std::mt19937 random;
  Strided<S> q, k, v, grad_out;
  std::vector<uint8_t> mask;
  AttentionMask view;
};

template <class S>
void expect_near(Strided<S>& got, const Values& want, const Values& magnitude, double relative,
                 const char* name) {
  each(want, [&](auto... i) {
    const double bound = relative * magnitude.at(i...) + kUnitRoundoff<S> * std::abs(want.at(i...)) +
                         (kType<S> == ElementType::kFloat16 ? 0x1p-25 : 0);  // half of the least subnormal
    const double error = std::abs(static_cast<double>(widen(got.at(i...))) - want.at(i...));
    ASSERT_LE(error, bound) << name << " at b,s,h,d " << ::testing::PrintToString(std::tuple(i...));
  });
}

// Options of one problem, for the kernels and for the formula. The bias is shared by the batches.
struct OptionsProblem {
  static constexpr int64_t kLeft = 60, kRight = 20;
  static constexpr double kSoftcap = 1.5, kKept = 0.75;
  static constexpr uint64_t kSeed = 0x123456789abcdef0, kOffset = 0x0fedcba987654321;

  explicit OptionsProblem(const AttentionShape& s) : shape(s) {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-1, 1);
    sink.resize(static_cast<size_t>(s.num_heads));
    slope.resize(sink.size());
    numbers.resize(static_cast<size_t>(s.num_heads * s.seq_q * s.seq_k));
    for (float& x : sink) x = uniform(random);
    for (float& x : slope) x = std::abs(uniform(random));
    for (float& x : numbers) x = uniform(random);
  }
  static double largest(const AttentionShape& s) {
    return static_cast<double>(s.seq_q + s.seq_k) + kSoftcap + 3;
  }

  template <class T>
  std::vector<T> sinks() const {
    return {sink.begin(), sink.end()};
  }
  template <class T>
  std::vector<T> bias() const {
    return {numbers.begin(), numbers.end()};
  }

  int64_t distance(int64_t i, int64_t j) const { return j - (i + shape.seq_k - shape.seq_q); }

  // The generator by its definition, one position at a time.
  double kept(int64_t b, int64_t h, int64_t i, int64_t j) const {
    Philox<1> random{{{static_cast<uint32_t>(j / 8)},
                      {static_cast<uint32_t>(i)},
                      {static_cast<uint32_t>(b * shape.num_heads + h)},
                      {static_cast<uint32_t>(kOffset)}}};
    random.run(kSeed ^ (kOffset >> 32 << 32));
    const uint32_t half = random.words[j % 8 / 2][0] >> (j % 2 * 16) & 0xffff;
    return half >= 65536 * (1 - kKept) ? 1 / kKept : 0;
  }

  void add_to(Formula& f) const {
    f.softcap = kSoftcap;
    f.sink = [this](int64_t h) { return sink[static_cast<size_t>(h)]; };
    f.kept = [this](auto... i) { return kept(i...); };
    f.added = [this](int64_t, int64_t h, int64_t i, int64_t j) {
      return numbers[static_cast<size_t>((h * shape.seq_q + i) * shape.seq_k + j)] -
             double{slope[static_cast<size_t>(h)]} * static_cast<double>(std::abs(distance(i, j)));
    };
    f.allowed = [this, before = f.allowed](int64_t b, int64_t h, int64_t i, int64_t j) {
      return before(b, h, i, j) && distance(i, j) >= -kLeft && distance(i, j) <= kRight;
    };
  }
  void add_to(AttentionInputs& in, const void* bias_data, const void* sink_data) const {
    in.window_left = kLeft;
    in.window_right = kRight;
    in.softcap = kSoftcap;
    in.bias = {bias_data, true, 0, shape.seq_q * shape.seq_k, shape.seq_k, 1};
    in.alibi = {slope.data(), 0};
    in.sinks = sink_data;
    in.dropout = {static_cast<uint32_t>(65536 * (1 - kKept)), kSeed, kOffset, 0};
  }

  AttentionShape shape;
  std::vector<float> sink, slope, numbers;
};

template <class S>
void check(const Case& c, Isa level) {
  using T = decltype(widen(S{}));
  const AttentionShape& s = c.shape;
  SCOPED_TRACE(::testing::Message() << c << " type " << static_cast<int>(kType<S>) << " isa "
                                    << static_cast<int>(level));
  Problem<S> p(c, 7);
  const double scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
  const OptionsProblem options(s);
  Formula formula{s, scale, [&](auto... i) { return p.allowed(c.causal, i...); }};
  if (c.options) options.add_to(formula);
  const auto want = formula(p.exact(p.q, s.seq_q, s.num_heads, s.head_dim),
                            p.exact(p.k, s.seq_k, s.num_kv_heads, s.head_dim),
                            p.exact(p.v, s.seq_k, s.num_kv_heads, s.value_dim),
                            p.exact(p.grad_out, s.seq_q, s.num_heads, s.value_dim));

  AttentionInputs inputs{kType<S>, s, scale, c.causal, p.q.tensor, p.k.tensor, p.v.tensor, p.view};
  const auto sinks = options.template sinks<T>();
  const auto bias = options.template bias<T>();
  if (c.options) options.add_to(inputs, bias.data(), sinks.data());
  Strided<S> out(want.out, s.batch), grad_q(want.grad_q, s.batch), grad_k(want.grad_k, s.batch),
      grad_v(want.grad_v, s.batch);
  std::vector<T> lse(static_cast<size_t>(s.batch * s.num_heads * s.seq_q), T(-1));
  std::vector<T> grad_bias(static_cast<size_t>(s.num_heads * s.seq_q * s.seq_k));
  const AttentionRows rows_lse{lse.data(), s.num_heads * s.seq_q, s.seq_q};
  const AttentionForward forward{inputs, out.tensor, rows_lse};
  // One item at a time, last first: no item may depend on another.
  for (int64_t i = attention_forward_items(s); i-- > 0;) attention_forward(forward, i, i + 1, level);

  std::vector<T> partials(static_cast<size_t>(attention_backward_partials(s)));
  const AttentionBackward backward{inputs,        out.tensor,    p.grad_out.tensor, rows_lse,
                                   grad_q.tensor, grad_k.tensor, grad_v.tensor,     partials.data()};
  for (int64_t i = attention_backward_items(s); i-- > 0;) attention_backward(backward, i, i + 1, level);
  attention_backward_reduce(backward, 0, attention_backward_reduce_items(s), level);

  // A score is a sum of head_dim products below 1 in magnitude, times scale: its rounding error is at most
  // (head_dim + 3) u head_dim · scale, and a probability's relative error twice that plus the rounding of
  // exp2 (2 u) and of the sum (seq_k u). The gradients add their own sums and, through D, the rounding of the
  // stored out.
  const double u = kUnitRoundoff<T>, d = static_cast<double>(s.head_dim);
  // Options: what is added rounds a score to a unit of its size, tanh is off by a few of softcap's; dropout's
  // factor multiplies it all.
  const double added = c.options ? OptionsProblem::largest(s) : 0;
  const double relative =
      (2 * (d + 3) * u * d * scale + (static_cast<double>(s.seq_k) + 8) * u + 16 * u * added) /
      (c.options ? OptionsProblem::kKept : 1);
  // AVX512-BF16 multiplies probabilities and their gradients that are rounded.
  const double operand =
      level == Isa::kAvx512Bf16 && kType<S> == ElementType::kBFloat16 ? kUnitRoundoff<S> : 0;
  Values one = want.out;
  for (double& x : one.data) x = 1;  // |v| ≤ 1 and Σ p = 1
  expect_near(out, want.out, one, relative + operand / (c.options ? OptionsProblem::kKept : 1), "out");
  for (size_t i = 0; i < lse.size(); ++i)
    if (std::isinf(want.lse[i])) {
      ASSERT_EQ(lse[i], -std::numeric_limits<T>::infinity());
    } else {
      ASSERT_NEAR(lse[i], want.lse[i], relative + 4 * u * (std::abs(want.lse[i]) + d * scale + added));
    }
  const double rows = static_cast<double>(s.seq_q * s.num_heads / s.num_kv_heads);
  if (c.options) {
    const AttentionBiasGradient target{1, s.num_heads, s.seq_q, s.seq_k, grad_bias.data()};
    for (int64_t i = attention_bias_gradient_items(target); i-- > 0;)
      attention_bias_gradient(backward, target, i, i + 1, level);
    const int64_t size = s.num_heads * s.seq_q * s.seq_k;
    for (int64_t i = 0; i < size; ++i) {
      double sum = 0;
      for (int64_t b = 0; b < s.batch; ++b) sum += want.grad_scores[static_cast<size_t>(b * size + i)];
      const double terms = 2 * static_cast<double>(s.value_dim * s.batch) / OptionsProblem::kKept;
      ASSERT_NEAR(grad_bias[static_cast<size_t>(i)], sum,
                  terms * (2 * relative + rows * u + kUnitRoundoff<S> + operand));
    }
  }
  const double gradient =
      2 * relative + (rows + 2 * static_cast<double>(s.value_dim) + 16) * u + kUnitRoundoff<S> + 3 * operand;
  expect_near(grad_q, want.grad_q, want.grad_q_magnitude, gradient, "grad_q");
  expect_near(grad_k, want.grad_k, want.grad_k_magnitude, gradient, "grad_k");
  expect_near(grad_v, want.grad_v, want.grad_v_magnitude, gradient, "grad_v");
}

const Case kCases[] = {
    {{1, 1, 1, 1, 1, 1, 1}},
    {{2, 97, 97, 2, 2, 64, 64}, true},
    {{1, 5, 200, 4, 2, 32, 32}, true},                       // rows folded to 10, long keys
    {{2, 1, 130, 8, 8, 64, 64}, true},                       // decoding
    {{1, 1, 130, 3, 1, 24, 24}, false, MaskKind::kRandom},   // decoding, grouped
    {{1, 1, 130, 3, 1, 20, 12}, false, MaskKind::kPadding},  // … and not whole vectors
    {{1, 130, 50, 2, 1, 16, 16}, true},                      // more queries than keys: empty rows
    {{1, 33, 97, 6, 2, 7, 13}, true, MaskKind::kRandom},
    {{2, 50, 300, 2, 1, 8, 40}, false, MaskKind::kPadding},
    {{1, 20, 30, 1, 1, 256, 256}, true},
    {{1, 300, 10, 4, 1, 72, 72}, false, MaskKind::kRandom},
    {{1, 7, 0, 2, 1, 16, 16}},
    {{1, 0, 7, 2, 1, 16, 16}, true},
    {{0, 7, 7, 2, 1, 16, 16}},
    {{1, 400, 450, 1, 1, 16, 16}, true},  // several blocks of rows and of keys
    {{1, 250, 300, 2, 1, 16, 16}, true, MaskKind::kNone, true},
    {{2, 100, 150, 6, 2, 24, 40}, true, MaskKind::kPadding, true},
    {{1, 130, 97, 5, 1, 16, 16}, false, MaskKind::kNone, true},
    {{2, 2, 130, 4, 2, 32, 32}, true, MaskKind::kNone, true},
    {{1, 3, 61, 1, 1, 12, 7}, false, MaskKind::kRandom, true},
};

class AttentionKernel : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionKernel, ScalarMatchesFormula) {
  check<double>(GetParam(), Isa::kScalar);
  check<float>(GetParam(), Isa::kScalar);
  check<BFloat16>(GetParam(), Isa::kScalar);
  check<Half>(GetParam(), Isa::kScalar);
}

TEST_P(AttentionKernel, Avx2MatchesFormula) {
  if (isa() < Isa::kAvx2) GTEST_SKIP() << "this CPU has no AVX2";
  check<float>(GetParam(), Isa::kAvx2);
  check<BFloat16>(GetParam(), Isa::kAvx2);
  check<Half>(GetParam(), Isa::kAvx2);
}

TEST_P(AttentionKernel, Avx512Bf16MatchesFormula) {
  if (isa() < Isa::kAvx512Bf16) GTEST_SKIP() << "this CPU has no AVX512-BF16";
  check<BFloat16>(GetParam(), Isa::kAvx512Bf16);
}

TEST_P(AttentionKernel, Avx512MatchesFormula) {
  if (isa() < Isa::kAvx512) GTEST_SKIP() << "this CPU has no AVX-512";
  check<float>(GetParam(), Isa::kAvx512);
  check<BFloat16>(GetParam(), Isa::kAvx512);
  check<Half>(GetParam(), Isa::kAvx512);
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionKernel, ::testing::ValuesIn(kCases));

// Scores of ±1e4 would overflow exp; the running maximum keeps them in range, and the winner takes all.
TEST(AttentionKernelRange, LargeScores) {
  const AttentionShape s{1, 8, 200, 1, 1, 8, 8};
  for (const Isa level : {Isa::kScalar, isa()}) {
    std::vector<float> q(8 * 8, 100), k(200 * 8), v(200 * 8), out(8 * 8);
    for (size_t i = 0; i < k.size(); ++i)
      k[i] = i / 8 == 150 ? 100.0f : -100.0f, v[i] = static_cast<float>(i / 8);
    std::vector<float> lse(8);
    const AttentionTensor query{q.data(), 64, 8, 8}, key{k.data(), 1600, 8, 8}, value{v.data(), 1600, 8, 8};
    attention_forward({{ElementType::kFloat32, s, 1, false, query, key, value, {}},
                       {out.data(), 64, 8, 8},
                       {lse.data(), 8, 8}},
                      0, attention_forward_items(s), level);
    for (const float x : out) EXPECT_EQ(x, 150);
    for (const float x : lse) EXPECT_NEAR(x, 80000, 80000 * 0x1p-23);
  }
}

TEST(AttentionKernelRange, NanSpreadsToItsRowsOnly) {
  const AttentionShape s{1, 9, 3, 1, 1, 8, 8};
  for (const Isa level : {Isa::kScalar, isa()}) {
    std::vector<float> q(9 * 8, 1), k(3 * 8, 1), v(3 * 8, 1), out(9 * 8), lse(9);
    q[4 * 8] = std::numeric_limits<float>::quiet_NaN();
    const AttentionTensor query{q.data(), 72, 8, 8}, key{k.data(), 24, 8, 8}, value{v.data(), 24, 8, 8};
    attention_forward({{ElementType::kFloat32, s, 1, false, query, key, value, {}},
                       {out.data(), 72, 8, 8},
                       {lse.data(), 9, 9}},
                      0, attention_forward_items(s), level);
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i / 8 == 4) << i;
  }
}

}  // namespace
}  // namespace zeta::cpu
