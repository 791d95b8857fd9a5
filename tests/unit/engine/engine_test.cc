#include "src/engine/engine.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/unit/engine/collector.h"
#include "tests/unit/engine/scripted_runner.h"

namespace zeta::engine {
namespace {

using namespace std::chrono_literals;

constexpr int32_t kEos = 1;

class EngineTest : public ::testing::Test {
 protected:
  void start(EngineLimits limits = {{4, 16, 256}, 8}) {
    auto encoder = PromptEncoder::load(ZETA_GOLDEN_LLAMA_DIR "/dense");
    ASSERT_TRUE(encoder.ok()) << encoder.status();
    engine = std::make_unique<Engine>(std::make_unique<ScriptedRunner>(script), std::move(*encoder),
                                      GenerationConfig{{kEos}, {}}, limits);
  }
  // The model writes the token ids of this text, then the end-of-sequence token for ever.
  void write_text(const std::string& text, size_t prompt) {
    const auto ids = PromptEncoder::load(ZETA_GOLDEN_LLAMA_DIR "/dense")->tokenizer().encode(text, false);
    script->next = [ids = *ids, prompt](const auto& tokens) {
      const size_t i = tokens.size() - prompt;
      return i < ids.size() ? ids[i] : kEos;
    };
  }
  static Request request(std::vector<int32_t> prompt = {5, 6}, int64_t max_tokens = 100) {
    Request out;
    out.prompt = TokenPrompt{std::move(prompt)};
    out.sampling.temperature = 0.0;
    out.sampling.max_tokens = max_tokens;
    return out;
  }
  std::shared_ptr<Collector> submit(Request request) {
    auto collector = std::make_shared<Collector>();
    engine->submit(std::move(request), [collector](Output output) { collector->add(std::move(output)); });
    return collector;
  }

  std::shared_ptr<Script> script = std::make_shared<Script>();
  std::unique_ptr<Engine> engine;
};

TEST_F(EngineTest, StreamsTextUntilTheEndOfSequence) {
  write_text("the quick fox", 2);
  start();
  const auto answer = submit(request())->wait();
  EXPECT_EQ(answer.status, absl::OkStatus());
  EXPECT_EQ(answer.text, "the quick fox");
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
  EXPECT_GT(answer.pieces, 1);
  EXPECT_EQ(answer.token_ids.back(), kEos);
  EXPECT_EQ(answer.completion_tokens, static_cast<int64_t>(answer.token_ids.size()));
  EXPECT_EQ(answer.prompt_tokens, 2);
}

TEST_F(EngineTest, EncodesTextAndChat) {
  start();
  Request text = request({}, 1);
  text.prompt = TextPrompt{"the"};
  EXPECT_EQ(submit(text)->wait().prompt_tokens, 2);  // the template of the tokenizer adds <|bos|>
  Request chat = request({}, 1);
  chat.prompt = ChatPrompt{R"([{"role": "user", "content": "the"}])"};
  EXPECT_GT(submit(chat)->wait().prompt_tokens, 3);
  chat.prompt = ChatPrompt{"not json"};
  EXPECT_EQ(submit(chat)->wait().status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, StopStringsEndTheTextAcrossTokens) {
  write_text("the quick brown fox", 2);
  start();
  Request stopping = request();
  stopping.sampling.stop = {"ck br", "zzz"};
  const auto answer = submit(stopping)->wait();
  EXPECT_EQ(answer.text, "the qui");
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
}

TEST_F(EngineTest, HeldBackTextIsShownAtTheEnd) {
  write_text("the quick", 2);
  start();
  Request stopping = request();
  stopping.sampling.stop = {"quick brown"};
  EXPECT_EQ(submit(stopping)->wait().text, "the quick");
}

TEST_F(EngineTest, IgnoresTheEndOfSequenceWhenAsked) {
  write_text("the", 2);
  start();
  Request ignoring = request({5, 6}, 10);
  ignoring.sampling.ignore_eos = true;
  const auto answer = submit(ignoring)->wait();
  EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
  EXPECT_EQ(answer.completion_tokens, 10);
}

TEST_F(EngineTest, TheContextEndsACompletion) {
  start();
  Request endless = request({5, 6});
  endless.sampling.max_tokens.reset();
  const auto answer = submit(endless)->wait();
  EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
  EXPECT_EQ(answer.completion_tokens, script->max_model_len - 2);
}

TEST_F(EngineTest, RefusesBadPrompts) {
  start();
  using Code = absl::StatusCode;
  const auto message = [&](std::vector<int32_t> prompt, Code code = Code::kInvalidArgument) {
    const auto answer = submit(request(std::move(prompt)))->wait();
    EXPECT_EQ(answer.status.code(), code);
    return std::string(answer.status.message());
  };
  EXPECT_EQ(message(std::vector<int32_t>(64, 5), Code::kOutOfRange),
            "expected a prompt of at most 63 tokens (the context less one for the answer), got 64");
  EXPECT_EQ(message({}), "the prompt has no tokens; expected at least one");
  EXPECT_EQ(message({5, 288}), "expected token ids from 0 to 287, got 288");
  EXPECT_EQ(message({-1}), "expected token ids from 0 to 287, got -1");
  Request bad = request();
  bad.sampling.top_p = 7;
  EXPECT_EQ(submit(bad)->wait().status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, RefusesATextTooLongForTheContextWithoutTokenizingIt) {
  start();
  const size_t bound =
      64 * PromptEncoder::load(ZETA_GOLDEN_LLAMA_DIR "/dense")->tokenizer().longest_token_bytes();
  const auto message = [&](auto prompt) {
    Request long_request = request();
    long_request.prompt = std::move(prompt);
    const auto answer = submit(long_request)->wait();
    EXPECT_EQ(answer.status.code(), absl::StatusCode::kOutOfRange);
    return std::string(answer.status.message());
  };
  const std::string text(bound + 1, 'x');
  EXPECT_EQ(message(TextPrompt{text}),
            "expected a prompt of at most 64 tokens (the context), which is at most " +
                std::to_string(bound) + " bytes, got " + std::to_string(bound + 1) + " bytes");
  EXPECT_NE(message(ChatPrompt{R"([{"role": "user", "content": ")" + text + R"("}])"}).find(" bytes, got "),
            std::string::npos);
  EXPECT_NE(message(TextPrompt{std::string(bound, 'x')}).find("(the context less one for the answer), got"),
            std::string::npos)
      << "up to the bound, tokens are counted";
}

TEST_F(EngineTest, SequencesShareStepsAndPromptsComeInChunks) {
  script->hold();
  start();
  std::vector<std::shared_ptr<Collector>> answers;
  for (int i = 0; i < 6; ++i) answers.push_back(submit(request(std::vector<int32_t>(30, 5 + i), 8)));
  std::this_thread::sleep_for(50ms);  // all are queued
  script->release();
  for (int i = 0; i < 6; ++i) {
    const auto answer = answers[static_cast<size_t>(i)]->wait();
    EXPECT_EQ(answer.token_ids, std::vector<int32_t>(8, 5 + i));
  }
  EXPECT_EQ(script->most_sequences, 4u);
  EXPECT_EQ(script->most_tokens, 16u);
  EXPECT_EQ(engine->stats().requests_finished, 6);
  EXPECT_EQ(engine->stats().prompt_tokens, 6 * 30);
  EXPECT_EQ(engine->stats().generation_tokens, 6 * 8);
}

TEST_F(EngineTest, AFullQueueRefuses) {
  script->hold();
  start({{1, 16, 64}, 2});
  const auto running = submit(request());
  while (engine->stats().requests_waiting > 0) std::this_thread::sleep_for(1ms);
  const auto first = submit(request()), second = submit(request());
  const auto refused = submit(request())->wait();
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status.message().find("2 requests are waiting"), std::string::npos);
  script->release();
  EXPECT_TRUE(running->wait().status.ok());
  EXPECT_TRUE(second->wait().status.ok());
  EXPECT_EQ(engine->stats().requests_waiting, 0);
}

TEST_F(EngineTest, CancellationFreesTheSlot) {
  script->max_model_len = 1 << 20;
  start({{1, 16, 1 << 20}, 8});
  auto gone = std::make_shared<std::atomic<bool>>(false);
  Request endless = request({5, 6}, 1 << 19);
  endless.cancelled = [gone] { return gone->load(); };
  const auto cancelled = submit(endless);
  const auto next = submit(request({7, 8}, 3));
  while (script->steps < 3) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(engine->stats().requests_waiting, 1);
  gone->store(true);
  EXPECT_EQ(cancelled->wait().status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(next->wait().status.ok());
}

TEST_F(EngineTest, AFailingStepFailsItsSequencesOnly) {
  script->fails = [](const auto& tokens) { return tokens[0] == 9; };
  start({{4, 16, 256}, 8});
  const auto failed = submit(request({9, 9}))->wait();
  EXPECT_EQ(failed.status.code(), absl::StatusCode::kInternal);
  EXPECT_NE(failed.status.message().find("scripted failure"), std::string::npos);
  EXPECT_TRUE(submit(request({5, 6}, 4))->wait().status.ok());
  EXPECT_EQ(engine->stats().failed_steps, 1);
}

TEST_F(EngineTest, ACacheThatCannotGrowFailsItsRequestOnly) {
  start();
  script->cache_refuses_from = 10;
  const auto starved = submit(request({5, 6}, 60));
  EXPECT_EQ(starved->wait().status.code(), absl::StatusCode::kResourceExhausted);
  script->cache_refuses_from = INT64_MAX;
  EXPECT_TRUE(submit(request({5, 6}, 60))->wait().status.ok());
}

TEST_F(EngineTest, ACacheThatCannotBeMadeFailsItsRequestOnly) {
  start();
  script->has_no_caches = true;
  EXPECT_EQ(submit(request())->wait().status.code(), absl::StatusCode::kResourceExhausted);
  script->has_no_caches = false;
  EXPECT_TRUE(submit(request())->wait().status.ok());
}

TEST_F(EngineTest, AThrowingListenerIsDropped) {
  start();
  engine->submit(request(), [](Output) { throw std::runtime_error("gone"); });
  EXPECT_TRUE(submit(request({5, 6}, 4))->wait().status.ok());
  while (script->live_caches > 0) std::this_thread::sleep_for(1ms);
}

TEST_F(EngineTest, DestructionAnswersEverything) {
  script->hold();
  start({{1, 16, 64}, 8});
  std::vector<std::shared_ptr<Collector>> answers;
  for (int i = 0; i < 5; ++i) answers.push_back(submit(request()));
  std::thread releaser([&] {
    std::this_thread::sleep_for(30ms);
    script->release();
  });
  engine.reset();
  releaser.join();
  for (const auto& answer : answers) {
    const auto& status = answer->wait().status;
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  }
  EXPECT_EQ(script->live_caches, 0);
}

TEST_F(EngineTest, RefusesACacheTooSmallForTheContext) {
  EXPECT_THROW(start({{4, 16, 63}, 8}), std::invalid_argument);
  EXPECT_THROW(start({{32, 16, 256}, 8}), std::invalid_argument);
}

TEST_F(EngineTest, ManySubmittersAtOnce) {
  start({{4, 16, 256}, 1000});
  std::vector<std::future<void>> threads;
  for (int t = 0; t < 4; ++t) {
    threads.push_back(std::async(std::launch::async, [&, t] {
      for (int i = 0; i < 25; ++i) {
        const auto answer = submit(request({5 + t, 6 + t}, 3 + i % 5))->wait();
        EXPECT_TRUE(answer.status.ok());
        EXPECT_EQ(answer.token_ids, std::vector<int32_t>(static_cast<size_t>(3 + i % 5), 6 + t));
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  EXPECT_EQ(engine->stats().requests_finished, 100);
}

}  // namespace
}  // namespace zeta::engine
