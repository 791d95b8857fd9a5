#include "src/serving/registry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "src/base/concat.h"
#include "src/serving/tensor.h"
#include "tests/unit/serving/collecting_sink.h"
#include "tests/unit/serving/model_folder.h"

namespace zeta::serving {
namespace {

void add_all(const ModelFolder& folder, ModelRegistry& registry) {
  auto models = scan_repository(folder.path());
  for (auto& model : *models) EXPECT_TRUE(registry.add(std::move(model)).ok());
}

// A registry with the models of `folder`, not loaded.
std::unique_ptr<ModelRegistry> make_registry(const ModelFolder& folder) {
  auto registry = std::make_unique<ModelRegistry>(ZETA_BACKEND_DIR, ModelRegistry::BackendSettings{});
  add_all(folder, *registry);
  return registry;
}

// One that loads by request from `folder`; nothing is loaded.
std::unique_ptr<ModelRegistry> make_explicit(const ModelFolder& folder) {
  RegistryOptions options{ModelControl::kExplicit, {folder.path()}};
  auto registry =
      std::make_unique<ModelRegistry>(ZETA_BACKEND_DIR, ModelRegistry::BackendSettings{}, options);
  registry->load_all(1);
  return registry;
}

// "m:1:READY m:2:UNAVAILABLE …"
std::string index_text(const ModelRegistry& registry) {
  std::string text;
  for (const ModelStatus& model : registry.index()) {
    text +=
        concat(text.empty() ? "" : " ", model.name, ":", model.version, ":", model_state_name(model.state));
  }
  return text;
}

std::string refusal(const ModelRegistry& registry, std::string_view name, std::string_view version = "") {
  return std::string(registry.find(name, version).status().message());
}

TEST(Registry, LoadsAndRoutes) {
  const ModelFolder folder;
  folder.write_echo("id", R"({"kind": "identity", "shape": [2]})");
  const auto registry = make_registry(folder);
  EXPECT_FALSE(registry->ready());
  EXPECT_EQ(registry->find("id", "").status().code(), absl::StatusCode::kUnavailable);
  registry->load_all(2);
  EXPECT_TRUE(registry->ready());
  const auto model = registry->find("id", "1");
  ASSERT_TRUE(model.ok()) << model.status();
  auto request = std::make_shared<InferRequest>();
  request->inputs = {{"INPUT0", DataType::kFp32, {2}, make_buffer("12345678")}};
  const auto sink = std::make_shared<CollectingSink>();
  (*model)->infer(request, sink);
  const auto responses = sink->wait();
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].outputs.at(0).name, "OUTPUT0");
  EXPECT_EQ(responses[0].outputs[0].data.data, request->inputs[0].data.data) << "no copy is made";
  EXPECT_EQ((*model)->metadata().name, "id");
}

TEST(Registry, ABadModelIsUnavailableAndTheOthersLive) {
  const ModelFolder folder;
  folder.write_echo("bad", R"({"kind": "mirror"})");
  folder.write_echo("good", "{}");
  folder.write("odd/config.pbtxt", "backend: \"no_such\"");
  folder.write("odd/1/x", "");
  const auto registry = make_registry(folder);
  registry->load_all(1);
  EXPECT_FALSE(registry->ready());
  EXPECT_TRUE(registry->find("good", "").ok());
  const auto index = registry->index();
  ASSERT_EQ(index.size(), 3u);
  EXPECT_EQ(index[0].state, ModelState::kUnavailable);
  EXPECT_NE(index[0].reason.find("field 'kind': expected identity, repeat, count or text, got 'mirror'"),
            std::string::npos);
  EXPECT_NE(index[2].reason.find("unknown backend 'no_such'"), std::string::npos);
  EXPECT_NE(index[2].reason.find("echo"), std::string::npos) << "the backends that there are";
  EXPECT_EQ(refusal(*registry, "bad"), "Request for unknown model: 'bad' has no available versions");
}

TEST(Registry, TellsUnknownModelsAsTritonDoes) {
  const ModelFolder folder;
  folder.write_echo("id", "{}");
  const auto registry = make_registry(folder);
  registry->load_all(1);
  EXPECT_EQ(refusal(*registry, "x"), "Request for unknown model: 'x' is not found");
  EXPECT_EQ(refusal(*registry, "id", "2"), "Request for unknown model: 'id' version 2 is not found");
}

TEST(Registry, RefusesTwoModelsOfOneName) {
  const ModelFolder folder;
  folder.write_echo("id", "{}");
  const auto registry = make_registry(folder);
  const auto status = registry->add(describe_model("id", folder.path("id")));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
}

TEST(Registry, UnloadingAnswersWhatIsInFlight) {
  const ModelFolder folder;
  folder.write_echo("slow", R"({"kind": "repeat", "delay_ms": 60000})");
  const auto registry = make_registry(folder);
  registry->load_all(1);
  auto request = std::make_shared<InferRequest>();
  request->inputs = {{"INPUT0", DataType::kFp32, {1}, make_buffer("1234")}};
  const auto sink = std::make_shared<CollectingSink>();
  (*registry->find("slow", ""))->infer(request, sink);
  registry->unload_all();
  const auto responses = sink->wait();
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].status.code(), absl::StatusCode::kUnavailable);
}

TEST(Registry, MayBeReadWhileItLoads) {
  const ModelFolder folder;
  for (int i = 0; i < 8; ++i) folder.write_echo(concat("m", i), R"({"load_ms": 5})");
  const auto registry = make_registry(folder);
  std::thread loader([&] { registry->load_all(4); });
  while (!registry->ready()) {
    EXPECT_EQ(registry->index().size(), 8u);
    std::this_thread::yield();
  }
  loader.join();
  EXPECT_EQ(registry->ready_models().size(), 8u);
  registry->close();
  EXPECT_FALSE(registry->ready());
}

TEST(Registry, ServesSeveralVersionsAtOnce) {
  const ModelFolder folder;
  folder.write("m/config.pbtxt", "backend: \"echo\" version_policy { all { } }");
  for (const char* version : {"1", "3"}) folder.write(concat("m/", version, "/echo.json"), "{}");
  folder.write("m/2/echo.json", "broken");
  const auto registry = make_registry(folder);
  registry->load_all(1);
  EXPECT_EQ(index_text(*registry), "m:1:READY m:2:UNAVAILABLE m:3:READY");
  EXPECT_EQ((*registry->find("m", ""))->metadata().version, "3");
  EXPECT_EQ((*registry->find("m", "1"))->metadata().version, "1");
  EXPECT_EQ(refusal(*registry, "m", "2"), "Request for unknown model: 'm' version 2 is not at ready state");
  EXPECT_EQ(refusal(*registry, "m", "4"), "Request for unknown model: 'm' version 4 is not found");
  EXPECT_EQ(refusal(*registry, "m", "0"), "Request for unknown model: 'm' version 0 is not found");
  EXPECT_EQ(registry->versions("m"), (std::vector<std::string>{"1", "3"}));
  EXPECT_EQ(registry->models("m", "")->size(), 2u);
  EXPECT_EQ(registry->models("m", "3")->size(), 1u);
  EXPECT_EQ(registry->models("m", "2").status().message(),
            "requested model version is not available for model 'm'");
  EXPECT_EQ(registry->models("x", "").status().message(), "requested model 'x' is not available");
}

TEST(Registry, LoadsAndUnloadsByRequest) {
  const ModelFolder folder;
  folder.write_echo("a", "{}");
  folder.write_echo("b", R"({"kind": "mirror"})");
  const auto registry = make_explicit(folder);
  EXPECT_TRUE(registry->ready()) << "nothing is wanted";
  EXPECT_EQ(index_text(*registry), "a:: b::");
  ASSERT_TRUE(registry->load("a", {}).ok());
  EXPECT_EQ(index_text(*registry), "a:1:READY b::");
  const absl::Status broken = registry->load("b", {});
  EXPECT_TRUE(absl::IsInvalidArgument(broken));
  const std::string text(broken.message());
  EXPECT_TRUE(
      text.starts_with("load failed for model 'b': version 1 is at UNAVAILABLE state: Invalid argument: "))
      << text;
  EXPECT_TRUE(text.ends_with("got 'mirror';\n")) << text;
  EXPECT_FALSE(registry->ready()) << "a model that is wanted cannot be had";
  const absl::Status none = registry->load("c", {});
  EXPECT_TRUE(absl::IsInternal(none));
  EXPECT_EQ(none.message(), "failed to load 'c', failed to poll from model repository");
  for (const char* escape : {"..", "../a", "", "a/1", ".hidden"}) {
    EXPECT_TRUE(absl::IsInternal(registry->load(escape, {}))) << escape;
  }
  EXPECT_TRUE(registry->unload("a", false).ok());
  EXPECT_TRUE(registry->unload("c", true).ok()) << "as Triton does";
  EXPECT_EQ(index_text(*registry), "a:1:UNAVAILABLE b:1:UNAVAILABLE");
  EXPECT_EQ(registry->index()[0].reason, "unloaded");
  EXPECT_EQ(refusal(*registry, "a"), "Request for unknown model: 'a' has no available versions");
  EXPECT_EQ(refusal(*registry, "a", "1"), "Request for unknown model: 'a' version 1 is not at ready state");
  folder.write("b/1/echo.json", "{}");
  EXPECT_TRUE(registry->load("b", {}).ok());
  EXPECT_TRUE(registry->ready());
}

TEST(Registry, ALoadThatFailsLeavesWhatThereWas) {
  const ModelFolder folder;
  folder.write_echo("m", "{}");
  const auto registry = make_explicit(folder);
  ASSERT_TRUE(registry->load("m", {}).ok());
  const auto before = *registry->find("m", "");
  ASSERT_TRUE(registry->load("m", {}).ok());
  EXPECT_EQ(*registry->find("m", ""), before) << "nothing has changed, nothing is loaded";
  folder.write("m/1/echo.json", "broken");
  EXPECT_FALSE(registry->load("m", {}).ok());
  EXPECT_FALSE(registry->load("m", {}).ok()) << "the files are as broken as before";
  folder.write("m/config.pbtxt", "backend: 5");
  const absl::Status status = registry->load("m", {});
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_TRUE(std::string(status.message())
                  .starts_with(
                      "failed to load 'm', failed to poll from model repository: failed to read text proto"));
  EXPECT_EQ(*registry->find("m", ""), before);
  EXPECT_EQ(index_text(*registry), "m:1:READY");
  folder.write_echo("m", R"({"datatype": "INT8"})");
  EXPECT_TRUE(registry->load("m", {}).ok());
  EXPECT_EQ((*registry->find("m", ""))->metadata().inputs[0].datatype, DataType::kInt8);
}

TEST(Registry, AnUpgradedModelIsNotLoadedAgain) {
  const ModelFolder folder;
  folder.write_echo("m", "{}");
  const auto registry = make_explicit(folder);
  ASSERT_TRUE(registry->load("m", {}).ok());
  folder.write("m/2/echo.json", "{}");
  ASSERT_TRUE(registry->load("m", {}).ok());
  const auto upgraded = *registry->find("m", "2");
  ASSERT_TRUE(registry->load("m", {}).ok());
  EXPECT_EQ(*registry->find("m", "2"), upgraded);
}

TEST(Registry, OverridesDoNotMoveAModelOfTheCommandLine) {
  const ModelFolder folder;
  folder.write_echo("m", "{}");
  ModelRegistry registry(ZETA_BACKEND_DIR, {}, {ModelControl::kExplicit, {}});
  ASSERT_TRUE(registry.add(describe_model("named", folder.path("m"))).ok());
  registry.load_all(1);
  const LoadOverrides made{R"({"backend": "echo"})", {{"7/echo.json", "{}"}}};
  ASSERT_TRUE(registry.load("named", made).ok());
  EXPECT_EQ((*registry.find("named", ""))->metadata().version, "7");
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = registry.load("named", {});
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ((*registry.find("named", ""))->metadata().version, "1");
  }
}

TEST(Registry, OverridesLastUntilTheNextLoad) {
  const ModelFolder folder;
  folder.write_echo("m", R"({"shape": [-1, 2]})");
  const auto registry = make_explicit(folder);
  ASSERT_TRUE(registry->load("m", {R"({"backend": "echo", "max_batch_size": 8})", {}}).ok());
  EXPECT_EQ((*registry->config("m", ""))->max_batch_size(), 8);
  EXPECT_EQ((*registry->config("m", ""))->input(0).dims(0), 2);
  ASSERT_TRUE(registry->load("m", {}).ok());
  EXPECT_EQ((*registry->config("m", ""))->max_batch_size(), 0);
  const LoadOverrides made{R"({"backend": "echo"})", {{"7/echo.json", R"({"datatype": "BOOL"})"}}};
  ASSERT_TRUE(registry->load("new", made).ok());
  EXPECT_EQ((*registry->find("new", ""))->metadata().version, "7");
  EXPECT_TRUE(absl::IsInternal(registry->load("new", {}))) << "no repository holds it";
}

TEST(Registry, RequestsUnderWayFinishWhenTheirModelIsUnloaded) {
  const ModelFolder folder;
  folder.write_echo("m", R"({"kind": "repeat", "times": 3, "delay_ms": 20})");
  const auto registry = make_explicit(folder);
  ASSERT_TRUE(registry->load("m", {}).ok());
  auto model = *registry->find("m", "");
  auto request = std::make_shared<InferRequest>();
  request->inputs = {{"INPUT0", DataType::kFp32, {1}, make_buffer("1234")}};
  const auto sink = std::make_shared<CollectingSink>();
  model->infer(request, sink);
  ASSERT_TRUE(registry->unload("m", false).ok());
  EXPECT_EQ(index_text(*registry), "m:1:UNLOADING");
  EXPECT_FALSE(registry->find("m", "").ok());
  const auto responses = sink->wait();
  EXPECT_EQ(responses.size(), 3u);
  EXPECT_TRUE(responses.back().status.ok()) << responses.back().status;
  model.reset();
  EXPECT_EQ(index_text(*registry), "m:1:UNAVAILABLE");
}

TEST(Registry, PollFollowsTheRepository) {
  const ModelFolder folder;
  folder.write_echo("a", "{}");
  folder.write_echo("b", "{}");
  RegistryOptions options{ModelControl::kPoll, {folder.path()}};
  ModelRegistry registry(ZETA_BACKEND_DIR, {}, options);
  add_all(folder, registry);
  registry.load_all(1);
  const auto a = *registry.find("a", "");
  std::filesystem::remove_all(folder.path("b"));
  folder.write_echo("c", "{}");
  folder.write_echo("d", "broken");
  registry.poll();
  EXPECT_EQ(index_text(registry), "a:1:READY b:1:UNAVAILABLE c:1:READY d:1:UNAVAILABLE");
  EXPECT_EQ(*registry.find("a", ""), a) << "unchanged, so not loaded again";
  folder.write("a/1/echo.json", R"({"datatype": "INT8"})");
  folder.write_echo("b", "{}");
  folder.write("d/1/echo.json", "{}");
  registry.poll();
  EXPECT_EQ(index_text(registry), "a:1:READY b:1:READY c:1:READY d:1:READY");
  EXPECT_NE(*registry.find("a", ""), a);
  EXPECT_TRUE(absl::IsUnavailable(registry.load("a", {})));
  EXPECT_EQ(registry.unload("a", false).message(),
            "explicit model load / unload is not allowed if polling is enabled");
}

TEST(Registry, ReadinessNeedNotBeStrict) {
  const ModelFolder folder;
  folder.write_echo("bad", "broken");
  RegistryOptions options;
  options.strict_readiness = false;
  ModelRegistry registry(ZETA_BACKEND_DIR, {}, options);
  add_all(folder, registry);
  EXPECT_FALSE(registry.ready()) << "the start is not over";
  registry.load_all(1);
  EXPECT_TRUE(registry.ready());
  registry.close();
  EXPECT_FALSE(registry.ready());
}

TEST(Registry, FillsInWhatClientsAreTold) {
  const ModelFolder folder;
  folder.write("m/config.pbtxt",
               "backend: 'echo' max_batch_size: 4 metric_tags { key: 'team' value: 'x' }\n"
               "input { name: 'INPUT0' data_type: TYPE_FP32 dims: 2 }\n"
               "output { name: 'OUTPUT0' data_type: TYPE_FP32 dims: 2 label_filename: 'labels.txt' }");
  folder.write("m/1/echo.json", R"({"shape": [-1, 2]})");
  folder.write("m/labels.txt", "cat\r\ndog");
  const auto registry = make_registry(folder);
  registry->load_all(1);
  ASSERT_TRUE(registry->find("m", "").ok()) << registry->index()[0].reason;
  const ModelMetadata metadata = (*registry->find("m", ""))->metadata();
  EXPECT_EQ(metadata.inputs[0].shape, (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ(metadata.outputs[0].labels, (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(metadata.max_batch_size, 4);
  EXPECT_EQ(metadata.metric_tags.at("team"), "x");
  EXPECT_EQ(metadata.platform, "echo");
  std::filesystem::remove(folder.path("m/labels.txt"));
  const auto without = make_registry(folder);
  without->load_all(1);
  EXPECT_NE(
      without->index()[0].reason.find("failed to open text file for read " + folder.path("m/labels.txt")),
      std::string::npos);
}

TEST(Registry, TheConfigurationNamesTheModelsFile) {
  const ModelFolder folder;
  folder.write("m/config.pbtxt", "backend: 'echo' default_model_filename: 'other.json'");
  folder.write("m/1/echo.json", "{}");
  folder.write("m/1/other.json", R"({"datatype": "INT8"})");
  const auto registry = make_registry(folder);
  registry->load_all(1);
  EXPECT_EQ((*registry->find("m", ""))->metadata().inputs[0].datatype, DataType::kInt8);
}

TEST(Registry, AConfigurationsParametersReachTheBackendBeforeTheCommandLines) {
  const ModelFolder folder;
  folder.write("m/config.pbtxt",
               "backend: 'echo' parameters { key: 'colour' value { string_value: 'red' } }");
  folder.write("m/1/echo.json", "{}");
  const auto registry = make_registry(folder);
  registry->load_all(1);
  EXPECT_EQ(registry->index()[0].reason,
            "Invalid argument: unknown setting 'colour': the echo backend has none");
}

TEST(Registry, ComesAndGoesWhileRequestsAreAnswered) {
  const ModelFolder folder;
  folder.write_echo("m", "{}");
  const auto registry = make_explicit(folder);
  ASSERT_TRUE(registry->load("m", {}).ok());
  std::atomic<bool> over{false};
  std::thread changer([&] {
    for (int i = 0; i < 50; ++i) {
      const LoadOverrides anew{R"({"backend": "echo"})", {}};
      EXPECT_TRUE(registry->load("m", anew).ok());
      if (i % 10 != 9) continue;
      EXPECT_TRUE(registry->unload("m", false).ok());
    }
    over = true;
  });
  int answered = 0;
  while (!over) {
    const auto model = registry->find("m", "");
    if (!model.ok()) continue;
    auto request = std::make_shared<InferRequest>();
    request->inputs = {{"INPUT0", DataType::kFp32, {1}, make_buffer("1234")}};
    const auto sink = std::make_shared<CollectingSink>();
    (*model)->infer(request, sink);
    EXPECT_TRUE(sink->wait().back().status.ok());
    ++answered;
  }
  changer.join();
  EXPECT_GT(answered, 0);
}

constexpr char kCount[] =
    "backend: 'echo' max_batch_size: 4 sequence_batching { iterative_sequence: true oldest { } state { "
    "input_name: 'STATE_IN' output_name: 'STATE_OUT' data_type: TYPE_INT32 dims: 1 } }";

TEST(Registry, AnIterativeModelRunsARequestUntilItIsDone) {
  for (const bool decoupled : {false, true}) {
    const ModelFolder folder;
    folder.write("m/config.pbtxt",
                 concat(kCount, decoupled ? " model_transaction_policy { decoupled: true }" : ""));
    folder.write("m/1/echo.json", R"({"kind": "count"})");
    const auto registry = make_explicit(folder);
    const absl::Status loaded = registry->load("m", {});
    ASSERT_TRUE(loaded.ok()) << loaded;
    const auto model = *registry->find("m", "");
    std::vector<std::shared_ptr<CollectingSink>> sinks;
    for (const int32_t goal : {5, 2}) {
      auto request = std::make_shared<InferRequest>();
      request->inputs = {int32_tensor("INPUT0", std::vector<int32_t>{goal})};
      request->inputs[0].shape = {1, 1};
      sinks.push_back(std::make_shared<CollectingSink>());
      model->infer(request, sinks.back());
    }
    for (const int32_t goal : {5, 2}) {
      const auto responses = sinks[goal == 5 ? 0 : 1]->wait();
      ASSERT_EQ(responses.size(), decoupled ? static_cast<size_t>(goal) : 1U);
      ASSERT_TRUE(responses.back().status.ok()) << responses.back().status;
      const Tensor& count = responses.back().outputs.at(0);
      EXPECT_EQ(count.name, "OUTPUT0");
      EXPECT_EQ(*reinterpret_cast<const int32_t*>(count.data.data), goal);
    }
    EXPECT_GE(model->statistics().execution_count, 5U);
    EXPECT_EQ(model->statistics().success.count, 2U);
    EXPECT_EQ(model->statistics().pending, 0);
  }
}

TEST(Registry, AnotherNumberOfInstancesNeedsNoLoading) {
  const ModelFolder folder;
  const std::string config = "backend: 'echo' max_batch_size: 4 instance_group { count: ";
  folder.write("m/config.pbtxt", config + "1 }");
  folder.write("m/1/echo.json", R"({"delay_ms": 100})");
  const auto registry = make_explicit(folder);
  ASSERT_TRUE(registry->load("m", {}).ok());
  const auto first = *registry->find("m", "");
  folder.write("m/config.pbtxt", config + "3 } # more");
  ASSERT_TRUE(registry->load("m", {}).ok());
  EXPECT_EQ(*registry->find("m", ""), first);
  EXPECT_EQ((*registry->config("m", ""))->instance_group(0).count(), 3);
  ASSERT_TRUE(
      registry
          ->load("m", {R"({"backend": "echo", "max_batch_size": 4, "instance_group": [{"count": 2}]})", {}})
          .ok());
  EXPECT_EQ(*registry->find("m", ""), first);
  EXPECT_EQ((*registry->config("m", ""))->instance_group(0).count(), 2);
  folder.write("m/config.pbtxt", config + "2 } dynamic_batching { }");
  ASSERT_TRUE(registry->load("m", {}).ok());
  EXPECT_NE(*registry->find("m", ""), first) << "more than the instances has changed";
  const auto second = *registry->find("m", "");
  folder.write("m/1/echo.json", R"({"delay_ms": 1})");
  folder.write("m/config.pbtxt", config + "1 } dynamic_batching { }");
  ASSERT_TRUE(registry->load("m", {}).ok());
  EXPECT_NE(*registry->find("m", ""), second) << "its file has changed, too";
}

}  // namespace
}  // namespace zeta::serving
