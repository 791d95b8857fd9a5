// The engine on real (tiny) models.
#include <gtest/gtest.h>

#include "src/engine/engine.h"
#include "src/engine/llama_runner.h"
#include "src/nn/llama.h"
#include "tests/unit/engine/collector.h"
#include "tests/unit/nn/golden_llama.h"

namespace zeta::engine {
namespace {

class LlamaEngine : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto encoder = PromptEncoder::load(golden.folder);
    ASSERT_TRUE(encoder.ok()) << encoder.status();
    auto runner = make_llama_runner(std::make_shared<nn::LlamaModel>(golden.folder), {.num_threads = 1});
    engine = std::make_unique<Engine>(std::move(runner), std::move(*encoder),
                                      read_generation_config(golden.folder, golden.vocab_size),
                                      EngineLimits{{8, 12, 8 * 256}, 100});
  }
  std::shared_ptr<Collector> submit(Request request) {
    auto collector = std::make_shared<Collector>();
    engine->submit(std::move(request), [collector](Output output) { collector->add(std::move(output)); });
    return collector;
  }
  Request greedy(std::vector<int32_t> prompt) const {
    Request request;
    request.prompt = TokenPrompt{std::move(prompt)};
    request.sampling.temperature = 0.0;
    request.sampling.max_tokens = static_cast<int64_t>(golden.greedy.size());
    return request;
  }

  nn::GoldenLlama golden{GetParam()};
  std::unique_ptr<Engine> engine;
};

TEST_P(LlamaEngine, GreedyTokensAreThoseOfTransformersAloneAndInABatch) {
  EXPECT_EQ(submit(greedy(golden.prompt))->wait().token_ids, golden.greedy);
  std::vector<std::shared_ptr<Collector>> same, others;
  for (int i = 0; i < 6; ++i) {
    same.push_back(submit(greedy(golden.prompt)));
    others.push_back(submit(greedy(std::vector<int32_t>(static_cast<size_t>(3 + 7 * i), 40 + i))));
  }
  for (const auto& answer : same) EXPECT_EQ(answer->wait().token_ids, golden.greedy);
  for (const auto& answer : others) EXPECT_TRUE(answer->wait().status.ok());
}

TEST_P(LlamaEngine, ASeedGivesTheSameTextWhateverElseRuns) {
  Request request = greedy(golden.prompt);
  request.sampling.temperature = 0.8;
  request.sampling.seed = 11;
  const std::string alone = submit(request)->wait().text;
  std::vector<std::shared_ptr<Collector>> crowd;
  for (int i = 0; i < 5; ++i) crowd.push_back(submit(greedy({10, 20, 30 + i})));
  EXPECT_EQ(submit(request)->wait().text, alone);
  for (const auto& answer : crowd) answer->wait();
}

TEST_P(LlamaEngine, TheTextIsTheTokensText) {
  Request request = greedy({});
  request.prompt = TextPrompt{"the quick brown fox"};
  request.sampling.logprobs = 3;
  const Answer answer = submit(request)->wait();
  EXPECT_EQ(answer.token_ids, golden.greedy);
  EXPECT_EQ(answer.text, *engine->tokenizer().decode(answer.token_ids, true));
  ASSERT_EQ(answer.logprobs.size(), answer.token_ids.size());
  for (const Sampled& sampled : answer.logprobs) {
    EXPECT_EQ(sampled.top.size(), 3u);
    EXPECT_EQ(sampled.own.token, sampled.top[0].token);  // greedy
    EXPECT_LE(sampled.own.logprob, 0.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, LlamaEngine, ::testing::Values("dense", "ternary", "int4"),
                         [](const auto& test) { return std::string(test.param); });

TEST(LlamaRunner, RefusesAContextTheModelWasNotBuiltFor) {
  const auto model = std::make_shared<nn::LlamaModel>(nn::GoldenLlama("dense").folder);
  EXPECT_THROW(make_llama_runner(model, {.max_model_len = 257}), std::exception);
  EXPECT_EQ(make_llama_runner(model, {.max_model_len = 100})->max_model_len(), 100);
}

}  // namespace
}  // namespace zeta::engine
