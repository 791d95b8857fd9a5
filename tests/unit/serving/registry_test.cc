#include "src/serving/registry.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "src/base/concat.h"
#include "src/serving/tensor.h"
#include "tests/unit/serving/collecting_sink.h"
#include "tests/unit/serving/model_folder.h"

namespace zeta::serving {
namespace {

// A registry with the models of `folder`, not loaded.
std::unique_ptr<ModelRegistry> make_registry(const ModelFolder& folder) {
  auto registry = std::make_unique<ModelRegistry>(ZETA_BACKEND_DIR, ModelRegistry::BackendSettings{});
  auto models = scan_repository(folder.path());
  for (auto& model : *models) EXPECT_TRUE(registry->add(std::move(model)).ok());
  return registry;
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
  EXPECT_NE(index[0].reason.find("field 'kind': expected identity, repeat or text, got 'mirror'"),
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

}  // namespace
}  // namespace zeta::serving
