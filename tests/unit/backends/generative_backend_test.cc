// The shared object as the server uses it: opened by name, spoken to through serving::Backend alone.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>

#include "src/serving/backend.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

std::string text_of(const Tensor& tensor) {
  EXPECT_EQ(tensor.datatype, DataType::kBytes);
  return std::string(bytes_elements(tensor)->front());
}

class Sink : public ResponseSink {
 public:
  void send(InferResponse response) override {
    const std::lock_guard lock(mutex_);
    final_ = response.final;
    responses_.push_back(std::move(response));
    changed_.notify_all();
  }
  std::vector<InferResponse> wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::minutes(1), [this] { return final_; }));
    return responses_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<InferResponse> responses_;
  bool final_ = false;
};

class GenerativeBackend : public ::testing::Test {
 protected:
  static Backend& backend() {
    static Backend* const loaded = [] {
      void* library = ::dlopen(ZETA_BACKEND, RTLD_NOW | RTLD_LOCAL);
      if (!library) throw std::runtime_error(::dlerror());
      return reinterpret_cast<Backend* (*)()>(::dlsym(library, "zeta_backend"))();
    }();
    return *loaded;
  }
  static ModelSource source(Parameters parameters = {}) {
    parameters.try_emplace("num_threads", int64_t{1});
    return {"tiny", "1", ZETA_GOLDEN_LLAMA_DIR "/ternary", std::move(parameters)};
  }
  static std::shared_ptr<InferRequest> request(Parameters parameters = {}) {
    auto out = std::make_shared<InferRequest>();
    out->inputs = {bytes_tensor("text_input", {"the quick brown fox"})};
    parameters.try_emplace("temperature", 0.0);
    parameters.try_emplace("max_tokens", int64_t{6});
    out->parameters = std::move(parameters);
    return out;
  }
  std::vector<InferResponse> infer(std::shared_ptr<InferRequest> request) {
    auto sink = std::make_shared<Sink>();
    model().infer(std::move(request), sink);
    return sink->wait();
  }
  std::string complaint(const std::shared_ptr<InferRequest>& request) {
    const auto responses = infer(request);
    EXPECT_EQ(responses.size(), 1u);
    EXPECT_EQ(responses[0].status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(responses[0].status.message());
  }
  static Model& model() {
    static const std::unique_ptr<Model> loaded = [] {
      auto result = backend().load(source());
      EXPECT_TRUE(result.ok()) << result.status();
      return std::move(*result);
    }();
    return *loaded;
  }
};

TEST_F(GenerativeBackend, StreamsTextTokensAndLogprobs) {
  const auto responses = infer(request({{"logprobs", int64_t{2}}}));
  std::string text;
  int64_t tokens = 0;
  size_t described = 0;
  for (const InferResponse& response : responses) {
    ASSERT_TRUE(response.status.ok()) << response.status;
    ASSERT_EQ(response.outputs.size(), 3u);
    EXPECT_EQ(response.outputs[0].name, "text_output");
    text += text_of(response.outputs[0]);
    EXPECT_EQ(response.outputs[1].name, "token_ids");
    tokens += response.outputs[1].shape[0];
    EXPECT_EQ(response.outputs[1].data.size, static_cast<size_t>(response.outputs[1].shape[0]) * 4);
    const auto list = boost::json::parse(text_of(response.outputs[2])).as_array();
    for (const auto& entry : list) EXPECT_EQ(entry.at("top_logprobs").as_array().size(), 2u);
    described += list.size();
  }
  EXPECT_FALSE(text.empty());
  EXPECT_EQ(tokens, 6);
  EXPECT_EQ(described, 6u);
  const Parameters& last = responses.back().parameters;
  EXPECT_EQ(std::get<std::string>(last.at("finish_reason")), "length");
  EXPECT_EQ(std::get<int64_t>(last.at("completion_tokens")), 6);
  EXPECT_GT(std::get<int64_t>(last.at("prompt_tokens")), 1);
  EXPECT_TRUE(responses.front().parameters.empty() || responses.size() == 1);
}

TEST_F(GenerativeBackend, GivesTheOutputsAskedFor) {
  auto asking = request();
  asking->requested_outputs = {"token_ids"};
  EXPECT_EQ(infer(asking).front().outputs.size(), 1u);
  asking->requested_outputs = {"logits"};
  EXPECT_NE(complaint(asking).find("unknown output 'logits'"), std::string::npos);
}

TEST_F(GenerativeBackend, AnswersChatAndTokenIds) {
  auto chat = request();
  chat->inputs = {bytes_tensor("messages", {R"([{"role": "user", "content": "hi"}])"})};
  EXPECT_TRUE(infer(chat).back().status.ok());
  auto ids = request();
  ids->inputs = {int32_tensor("input_ids", std::vector<int32_t>{5, 6, 7})};
  EXPECT_EQ(std::get<int64_t>(infer(ids).back().parameters.at("prompt_tokens")), 3);
  ids->inputs[0].shape = {4};
  EXPECT_NE(complaint(ids).find("input_ids"), std::string::npos);
}

TEST_F(GenerativeBackend, RefusesBadInputs) {
  auto bad = request();
  bad->inputs.clear();
  EXPECT_NE(complaint(bad).find("exactly one input"), std::string::npos);
  bad->inputs = {bytes_tensor("prompt", {"x"})};
  EXPECT_NE(complaint(bad).find("unknown input 'prompt'"), std::string::npos);
  bad->inputs = {bytes_tensor("text_input", {"x"}), bytes_tensor("messages", {"[]"})};
  EXPECT_NE(complaint(bad).find("got 2"), std::string::npos);
  for (size_t size : {0, 3, 4}) {
    bad->inputs = {bytes_tensor("text_input", {"xyz"})};
    bad->inputs[0].data.size = size;
    EXPECT_NE(complaint(bad).find("text_input"), std::string::npos) << size;
  }
  bad->inputs = {bytes_tensor("text_input", {"\xff\xfe"})};
  EXPECT_NE(complaint(bad), "");
}

TEST_F(GenerativeBackend, RefusesBadParametersByName) {
  const std::vector<std::pair<std::string, Parameter>> bad{{"max_token", int64_t{3}},
                                                           {"temperature", std::string("hot")},
                                                           {"temperature", -1.0},
                                                           {"top_k", 1.5},
                                                           {"top_p", 2.0},
                                                           {"min_p", true},
                                                           {"seed", 0.5},
                                                           {"ignore_eos", int64_t{1}},
                                                           {"stop", std::string("END")},
                                                           {"stop", std::string("[1]")},
                                                           {"logprobs", int64_t{21}},
                                                           {"max_tokens", int64_t{0}},
                                                           {"presence_penalty", 2.5},
                                                           {"frequency_penalty", -2.5},
                                                           {"repetition_penalty", 0.0}};
  for (const auto& [name, value] : bad) {
    EXPECT_NE(complaint(request({{name, value}})).find(name), std::string::npos) << name;
  }
}

TEST_F(GenerativeBackend, TakesEveryParameter) {
  const auto responses = infer(request({{"temperature", 0.7},
                                        {"top_p", int64_t{1}},
                                        {"top_k", int64_t{-1}},
                                        {"min_p", 0.01},
                                        {"repetition_penalty", 1.1},
                                        {"presence_penalty", 0.1},
                                        {"frequency_penalty", 0.1},
                                        {"seed", int64_t{-5}},
                                        {"ignore_eos", true},
                                        {"stop", std::string(R"(["never said"])")},
                                        {"logprobs", int64_t{0}}}));
  EXPECT_TRUE(responses.back().status.ok()) << responses.back().status;
}

TEST_F(GenerativeBackend, CancellationReachesTheEngine) {
  auto cancelled = request();
  cancelled->cancellation->cancel();
  EXPECT_EQ(infer(cancelled).back().status.code(), absl::StatusCode::kCancelled);
}

TEST_F(GenerativeBackend, MetadataAndMetrics) {
  EXPECT_EQ(model().metadata().name, "tiny");
  EXPECT_TRUE(model().metadata().decoupled);
  infer(request());
  std::map<std::string, double> values;
  for (const MetricSample& sample : model().metrics()) {
    EXPECT_FALSE(sample.help.empty());
    EXPECT_TRUE(values.emplace(sample.name, sample.value).second) << sample.name;
  }
  EXPECT_GE(values.at("zeta_generation_tokens_total"), 6);
  EXPECT_GE(values.at("zeta_request_success_total"), 1);
  EXPECT_LE(values.at("zeta_resident_weight_bytes"), 1.1 * values.at("zeta_packed_weight_bytes"));
}

TEST_F(GenerativeBackend, RefusesBadSettings) {
  const std::vector<std::pair<Parameters, std::string>> bad{
      {{{"max_seqs", int64_t{3}}}, "unknown model parameter 'max_seqs'"},
      {{{"max_num_seqs", int64_t{0}}}, "max_num_seqs"},
      {{{"max_num_seqs", std::string("many")}}, "max_num_seqs"},
      {{{"max_num_seqs", std::string("64")}, {"max_num_batched_tokens", int64_t{63}}}, "max_num_seqs = 64"},
      {{{"max_model_len", int64_t{257}}}, "max_position_embeddings = 256"},
      {{{"kv_cache_bytes", int64_t{1000}}}, "kv_cache_bytes"}};
  for (const auto& [parameters, text] : bad) {
    const auto result = backend().load(source(parameters));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << result.status();
    EXPECT_NE(result.status().message().find(text), std::string::npos) << result.status();
  }
}

// In a process of its own: the instruction set is chosen once.
TEST_F(GenerativeBackend, AnUnknownInstructionSetFailsTheLoad) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto load = [] {
    ::setenv("ZETA_CPU_ISA", "avx3", 1);
    std::cerr << backend().load(source()).status();
    std::exit(0);
  };
  EXPECT_EXIT(load(), ::testing::ExitedWithCode(0),
              "ZETA_CPU_ISA=avx3: expected scalar, avx2, avx512, avx512vnni, avx512bf16 or amx");
}

TEST_F(GenerativeBackend, NamesAFolderThatIsNone) {
  ModelSource nowhere = source();
  nowhere.folder = "/no/such/folder";
  const auto result = backend().load(nowhere);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("/no/such/folder"), std::string::npos);
}

TEST_F(GenerativeBackend, UnloadingAnswersWhatIsInFlight) {
  auto loaded = backend().load(source({{"max_num_seqs", int64_t{1}}}));
  ASSERT_TRUE(loaded.ok());
  std::vector<std::shared_ptr<Sink>> sinks;
  for (int i = 0; i < 20; ++i) {
    sinks.push_back(std::make_shared<Sink>());
    (*loaded)->infer(request({{"max_tokens", int64_t{200}}, {"ignore_eos", true}}), sinks.back());
  }
  loaded->reset();
  int unavailable = 0;
  for (const auto& sink : sinks) unavailable += absl::IsUnavailable(sink->wait().back().status);
  EXPECT_GT(unavailable, 0);
}

}  // namespace
}  // namespace zeta::serving
