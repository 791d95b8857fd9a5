#include "src/serving/model_metrics.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "src/base/metrics.h"
#include "src/serving/tensor.h"
#include "tests/unit/serving/collecting_sink.h"
#include "tests/unit/serving/model_folder.h"

namespace zeta::serving {
namespace {

TEST(ModelMetrics, TellsEachModelUnderTritonsNames) {
  const ModelFolder folder;
  folder.write_echo("id", "{}");
  folder.write_echo("text", R"({"kind": "text"})");
  folder.write_echo("broken", "[");
  auto registry = std::make_shared<ModelRegistry>(ZETA_BACKEND_DIR, ModelRegistry::BackendSettings{});
  auto models = scan_repository(folder.path());
  for (auto& model : *models) ASSERT_TRUE(registry->add(std::move(model)).ok());
  registry->load_all(1);
  auto request = std::make_shared<InferRequest>();
  request->inputs = {{"INPUT0", DataType::kFp32, {1}, make_buffer("1234")}};
  (*registry->find("id", ""))->infer(request, std::make_shared<CollectingSink>());
  (*registry->find("id", ""))
      ->infer(std::make_shared<InferRequest>(), std::make_shared<CollectingSink>());  // no input

  MetricsPage page;
  page.add(std::make_shared<ModelMetrics>(registry));
  const std::string text = page.text();
  for (const std::string line : {
           "nv_inference_request_success{model=\"id\",version=\"1\"} 1\n",
           "nv_inference_request_failure{model=\"id\",version=\"1\",reason=\"OTHER\"} 1\n",
           "nv_inference_request_failure{model=\"id\",version=\"1\",reason=\"REJECTED\"} 0\n",
           "nv_inference_count{model=\"id\",version=\"1\"} 1\n",
           "echo_in_flight{model=\"text\",version=\"1\"} 0\n",
           "zeta_model_ready{model=\"broken\",version=\"1\"} 0\n",
           "zeta_model_ready{model=\"id\",version=\"1\"} 1\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
  }
}

TEST(ModelMetrics, TellsOfTheCacheWhereThereIsOne) {
  const ModelFolder folder;
  for (const std::string name : {"cached", "plain"}) {
    folder.write_echo(name, "{}");
    folder.write(name + "/config.pbtxt",
                 name == "plain" ? "backend: 'echo'" : "backend: 'echo' response_cache { enable: true }");
  }
  RegistryOptions options;
  options.response_cache = std::make_shared<ResponseCache>(1 << 20);
  auto registry =
      std::make_shared<ModelRegistry>(ZETA_BACKEND_DIR, ModelRegistry::BackendSettings{}, options);
  auto models = scan_repository(folder.path());
  for (auto& model : *models) ASSERT_TRUE(registry->add(std::move(model)).ok());
  registry->load_all(1);
  for (int i = 0; i < 3; ++i) {
    auto request = std::make_shared<InferRequest>();
    request->inputs = {{"INPUT0", DataType::kFp32, {1}, make_buffer("1234")}};
    (*registry->find("cached", ""))->infer(request, std::make_shared<CollectingSink>());
  }
  MetricsPage page;
  page.add(std::make_shared<ModelMetrics>(registry));
  const std::string text = page.text();
  for (const std::string line : {"nv_cache_num_hits_per_model{model=\"cached\",version=\"1\"} 2\n",
                                 "nv_cache_num_misses_per_model{model=\"cached\",version=\"1\"} 1\n",
                                 "nv_inference_request_success{model=\"cached\",version=\"1\"} 3\n",
                                 "nv_inference_count{model=\"cached\",version=\"1\"} 1\n",
                                 "nv_cache_hit_duration_per_model{model=\"cached\"",
                                 "nv_cache_miss_duration_per_model{model=\"cached\""}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
  }
  EXPECT_EQ(text.find("nv_cache_num_hits_per_model{model=\"plain\""), std::string::npos);
}

}  // namespace
}  // namespace zeta::serving
