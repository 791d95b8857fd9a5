#include "src/serving/response_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "src/serving/registry.h"
#include "src/serving/tensor.h"
#include "tests/unit/serving/collecting_sink.h"
#include "tests/unit/serving/model_folder.h"

namespace zeta::serving {
namespace {

InferRequest request(const std::string& bytes = "1234", std::string name = "INPUT0") {
  InferRequest made;
  made.inputs = {{std::move(name), DataType::kFp32, {1, 1}, make_buffer(bytes)}};
  return made;
}

InferResponse response(size_t bytes) {
  InferResponse made;
  made.outputs = {
      {"OUT", DataType::kInt8, {static_cast<int64_t>(bytes)}, make_buffer(std::string(bytes, 'x'))}};
  return made;
}

TEST(CacheKey, DependsOnAllThatAnAnswerDependsOn) {
  const std::string base = cache_key("m", request());
  EXPECT_EQ(cache_key("m", request()), base);
  InferRequest other = request();
  other.id = "7";
  other.parameters["priority"] = int64_t{1};
  EXPECT_EQ(cache_key("m", other), base) << "neither id nor priority change an answer";
  EXPECT_NE(cache_key("n", request()), base);
  EXPECT_NE(cache_key("m", request("1235")), base);
  EXPECT_NE(cache_key("m", request("1234", "INPUT1")), base);
  other = request();
  other.inputs[0].datatype = DataType::kInt32;
  EXPECT_NE(cache_key("m", other), base);
  other = request();
  other.inputs[0].shape = {1};
  EXPECT_NE(cache_key("m", other), base);
  other = request();
  other.requested_outputs = {"OUTPUT0"};
  EXPECT_NE(cache_key("m", other), base);
  other = request();
  other.parameters["temperature"] = 0.5;
  EXPECT_NE(cache_key("m", other), base);
}

TEST(CacheKey, TheOrderOfInputsMeansNothing) {
  InferRequest one = request(), two;
  one.inputs.push_back({"A", DataType::kInt8, {1}, make_buffer("x")});
  two.inputs = {one.inputs[1], one.inputs[0]};
  EXPECT_EQ(cache_key("m", one), cache_key("m", two));
}

TEST(ResponseCache, DropsTheLongestUnused) {
  ResponseCache cache(10'000);
  for (const char* key : {"a", "b", "c"}) cache.insert(key, response(2'000));
  EXPECT_TRUE(cache.find("a"));
  cache.insert("d", response(2'000));
  EXPECT_TRUE(cache.find("a"));
  EXPECT_FALSE(cache.find("b")) << "four entries of 2.5 kB do not fit, and b was used the longest ago";
  EXPECT_TRUE(cache.find("c"));
  EXPECT_TRUE(cache.find("d"));
  EXPECT_LE(cache.size(), 10'000U);
  cache.insert("big", response(10'000));
  EXPECT_FALSE(cache.find("big"));
  EXPECT_TRUE(cache.find("d")) << "nothing went for what cannot be kept";
}

TEST(ResponseCache, WhatItGaveStaysValid) {
  ResponseCache cache(3'000);
  std::string memory(1'000, 'y');
  InferResponse first = response(1'000);
  first.outputs[0].data = {reinterpret_cast<const std::byte*>(memory.data()), memory.size(), nullptr};
  cache.insert("a", first);
  memory.assign(1'000, 'z');
  const auto hit = cache.find("a");
  cache.insert("b", response(2'000));
  EXPECT_FALSE(cache.find("a"));
  ASSERT_TRUE(hit);
  EXPECT_EQ(static_cast<char>(hit->outputs[0].data.data[0]), 'y');
}

TEST(ResponseCache, ThreadsMayShareIt) {
  ResponseCache cache(20'000);
  const auto work = [&](int seed) {
    for (int i = 0; i < 500; ++i) {
      const std::string key = std::to_string((seed + i) % 20);
      if (const auto hit = cache.find(key)) {
        ASSERT_EQ(hit->outputs.at(0).data.size, 1000U);
      } else {
        cache.insert(key, response(1'000));
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int seed = 0; seed < 4; ++seed) threads.emplace_back(work, seed);
  }
  EXPECT_LE(cache.size(), 20'000U);
}

class CachedModels : public ::testing::Test {
 protected:
  void open(bool has_cache = true) {
    RegistryOptions options;
    options.control = ModelControl::kExplicit;
    options.repositories = {folder_.path()};
    if (has_cache) options.response_cache = std::make_shared<ResponseCache>(1 << 20);
    registry_ = std::make_unique<ModelRegistry>(ZETA_BACKEND_DIR, ModelRegistry::BackendSettings{}, options);
    registry_->load_all(1);
  }
  InferResponse infer(const std::string& bytes, const std::string& input = "INPUT0") {
    const auto sink = std::make_shared<CollectingSink>();
    (*registry_->find("m", ""))->infer(std::make_shared<InferRequest>(request(bytes, input)), sink);
    return sink->wait().at(0);
  }
  StatisticsSnapshot figures() { return (*registry_->find("m", ""))->statistics(); }

  ModelFolder folder_;
  std::unique_ptr<ModelRegistry> registry_;
};

constexpr char kCached[] = "backend: 'echo' max_batch_size: 4 response_cache { enable: true }";

TEST_F(CachedModels, AHitIsNotComputed) {
  folder_.write("m/config.pbtxt", kCached);
  folder_.write("m/1/echo.json", "{}");
  open();
  ASSERT_TRUE(registry_->load("m", {}).ok());
  for (const char* bytes : {"1234", "1234", "abcd", "1234"}) {
    const InferResponse answer = infer(bytes);
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(std::memcmp(answer.outputs.at(0).data.data, bytes, 4), 0);
    EXPECT_EQ(answer.outputs[0].name, "OUTPUT0");
  }
  const StatisticsSnapshot seen = figures();
  EXPECT_EQ(seen.success.count, 4U);
  EXPECT_EQ(seen.queue.count, 4U);
  EXPECT_EQ(seen.cache_hit.count, 2U);
  EXPECT_EQ(seen.cache_miss.count, 2U);
  EXPECT_GT(seen.cache_miss.ns, 0U);
  EXPECT_EQ(seen.inference_count, 2U);
  EXPECT_EQ(seen.execution_count, 2U);
  EXPECT_EQ(seen.compute_infer.count, 2U);
}

TEST_F(CachedModels, AReloadedModelAnswersForItself) {
  folder_.write("m/config.pbtxt", kCached);
  folder_.write("m/1/echo.json", "{}");
  open();
  ASSERT_TRUE(registry_->load("m", {}).ok());
  infer("1234");
  folder_.write("m/1/echo.json", R"({"delay_ms": 1})");
  ASSERT_TRUE(registry_->load("m", {}).ok());
  infer("1234");
  EXPECT_EQ(figures().cache_hit.count, 0U);
}

TEST_F(CachedModels, FailuresAreNotKept) {
  folder_.write("m/config.pbtxt", kCached);
  folder_.write("m/1/echo.json", "{}");
  open();
  ASSERT_TRUE(registry_->load("m", {}).ok());
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(infer("1234", "NO").status.ok());
  EXPECT_EQ(figures().cache_hit.count + figures().cache_miss.count, 0U);
}

TEST_F(CachedModels, BothServerAndModelMustWantIt) {
  for (const bool model_wants : {false, true}) {
    folder_.write("m/config.pbtxt", model_wants ? kCached : "backend: 'echo' max_batch_size: 4");
    folder_.write("m/1/echo.json", "{}");
    open(/*has_cache=*/!model_wants);
    ASSERT_TRUE(registry_->load("m", {}).ok());
    infer("1234");
    infer("1234");
    EXPECT_EQ(figures().inference_count, 2U);
    EXPECT_FALSE((*registry_->find("m", ""))->is_cached());
    EXPECT_EQ((*registry_->find("m", ""))->metadata().notice,
              model_wants ? "response_cache has no effect without --cache-config" : "");
  }
}

TEST_F(CachedModels, DecoupledModelsAreRefused) {
  folder_.write("m/config.pbtxt", "backend: 'echo' response_cache { enable: true }");
  folder_.write("m/1/echo.json", R"({"kind": "repeat"})");
  open();
  const std::string text(registry_->load("m", {}).message());
  EXPECT_NE(
      text.find("Response Cache does not currently support model m with 'decoupled' transaction policy. "
                "Please disable the response cache."),
      std::string::npos)
      << text;
}

TEST_F(CachedModels, AnEnsembleIsCachedAsAWhole) {
  folder_.write_echo("a", "{}");
  folder_.write(
      "m/config.pbtxt",
      "platform: 'ensemble' response_cache { enable: true } input { name: 'IN' data_type: TYPE_FP32 dims: "
      "[-1, -1] } output { name: 'OUT' data_type: TYPE_FP32 dims: [-1, -1] } ensemble_scheduling { step { "
      "model_name: 'a' model_version: -1 input_map { key: 'INPUT0' value: 'IN' } output_map { key: 'OUTPUT0' "
      "value: 'OUT' } "
      "} }");
  folder_.write("m/1/.keep", "");
  folder_.write("a/1/echo.json", R"({"shape": [-1, -1]})");
  open();
  const absl::Status loaded = registry_->load("m", {});
  ASSERT_TRUE(loaded.ok()) << loaded;
  infer("1234", "IN");
  EXPECT_EQ(infer("1234", "IN").outputs.at(0).name, "OUT");
  EXPECT_EQ(figures().cache_hit.count, 1U);
  EXPECT_EQ((*registry_->find("a", ""))->statistics().success.count, 1U);
}

}  // namespace
}  // namespace zeta::serving
