#include "src/engine/scheduler.h"

#include <gtest/gtest.h>

#include "tests/unit/engine/scripted_runner.h"

namespace zeta::engine {
namespace {

class SchedulerTest : public ::testing::Test {
 protected:
  Sequence* add(size_t prompt, int64_t max_tokens) {
    auto sequence = std::make_unique<Sequence>();
    sequence->tokens.assign(prompt, 1);
    sequence->max_tokens = max_tokens;
    Sequence* raw = sequence.get();
    scheduler.add(std::move(sequence));
    return raw;
  }
  void admit_all() {
    while (auto sequence = scheduler.admit()) {
      sequence->cache = std::make_unique<ScriptedCache>();
      scheduler.run(std::move(sequence));
    }
  }
  // What a step of the model would do.
  static void compute(const Scheduler::Chunk& chunk) {
    auto& cached = static_cast<ScriptedCache&>(*chunk.sequence->cache).tokens;
    cached.insert(cached.end(), chunk.tokens.begin(), chunk.tokens.end());
    if (chunk.last) chunk.sequence->tokens.push_back(2);
  }

  Scheduler scheduler{{.max_num_seqs = 3, .max_num_batched_tokens = 8, .kv_cache_tokens = 100}};
};

TEST_F(SchedulerTest, AdmitsInOrderUpToTheNumberOfSequences) {
  for (int i = 0; i < 5; ++i) add(2, 10);
  admit_all();
  EXPECT_EQ(scheduler.num_running(), 3u);
  EXPECT_EQ(scheduler.num_waiting(), 2u);
  EXPECT_EQ(scheduler.reserved_tokens(), 30);
}

TEST_F(SchedulerTest, AdmitsOnlyWhatCanFinish) {
  Sequence* first = add(2, 60);
  add(2, 50);
  add(2, 5);  // would fit, but nobody overtakes
  admit_all();
  EXPECT_EQ(scheduler.num_running(), 1u);
  scheduler.remove_if([&](const Sequence& s) { return &s == first; });
  admit_all();
  EXPECT_EQ(scheduler.num_running(), 2u);
  EXPECT_EQ(scheduler.reserved_tokens(), 55);
}

TEST_F(SchedulerTest, DecodingComesFirstAndPromptsShareTheRest) {
  Sequence* decoding = add(1, 10);
  Sequence* prompt = add(20, 30);
  Sequence* other = add(4, 10);
  admit_all();
  auto chunks = scheduler.plan();
  ASSERT_EQ(chunks.size(), 2u);  // 1 + 7 of 20 use up the budget of 8
  EXPECT_EQ(chunks[0].sequence, decoding);
  EXPECT_EQ(chunks[1].sequence, prompt);
  EXPECT_EQ(chunks[1].tokens.size(), 7u);
  EXPECT_FALSE(chunks[1].last);
  int steps = 0;
  for (; prompt->unseen().size() > 1 && steps < 10; ++steps) {
    for (const auto& chunk : scheduler.plan()) compute(chunk);
  }
  EXPECT_EQ(steps, 3);                          // 7 + 7 + 6
  EXPECT_EQ(decoding->tokens.size(), 1u + 3u);  // a token at every step
  EXPECT_EQ(other->cache->size(), 1);           // what the last step had left
  EXPECT_EQ(scheduler.plan().size(), 3u);
}

TEST_F(SchedulerTest, RemovesWaitingAndRunningAlike) {
  for (int i = 0; i < 5; ++i) add(2, 10);
  admit_all();
  EXPECT_EQ(scheduler.remove_if([](const Sequence&) { return true; }).size(), 5u);
  EXPECT_EQ(scheduler.reserved_tokens(), 0);
  EXPECT_TRUE(scheduler.plan().empty());
}

}  // namespace
}  // namespace zeta::engine
