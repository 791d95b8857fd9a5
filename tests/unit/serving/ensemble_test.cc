// Ensembles of echo models, loaded by a registry.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/concat.h"
#include "src/serving/registry.h"
#include "src/serving/tensor.h"
#include "tests/unit/serving/collecting_sink.h"
#include "tests/unit/serving/model_folder.h"

namespace zeta::serving {
namespace {

using Maps = std::vector<std::pair<std::string, std::string>>;  // the member's tensor, the ensemble's

std::string map_text(const char* field, const Maps& maps) {
  std::string text;
  for (const auto& [key, value] : maps) text += concat(field, " { key: '", key, "' value: '", value, "' } ");
  return text;
}

std::string step(const std::string& model, const Maps& inputs, const Maps& outputs, int version = -1) {
  return concat("step { model_name: '", model, "' model_version: ", version, " ",
                map_text("input_map", inputs), map_text("output_map", outputs), "} ");
}

// From one tensor to another through an echo model.
std::string echo(const std::string& model, const std::string& from, const std::string& to, int version = -1) {
  return step(model, {{"INPUT0", from}}, {{"OUTPUT0", to}}, version);
}

std::string tensor(const char* kind, const std::string& name, const std::string& rest) {
  return concat(kind, " { name: '", name, "' ", rest, " } ");
}
constexpr char kFloats[] = "data_type: TYPE_FP32 dims: [-1]";
const std::string kIn = tensor("input", "IN", kFloats), kOut = tensor("output", "OUT", kFloats);

class Ensembles : public ::testing::Test {
 protected:
  void write_ensemble(const std::string& name, const std::string& steps,
                      const std::string& rest = kIn + kOut) {
    folder_.write(name + "/config.pbtxt",
                  concat("platform: 'ensemble' ", rest, " ensemble_scheduling { ", steps, " }"));
    folder_.write(name + "/1/.keep", "");
  }
  void open(ModelControl control = ModelControl::kExplicit) {
    RegistryOptions options;
    options.control = control;
    options.repositories = {folder_.path()};
    registry_ = std::make_unique<ModelRegistry>(ZETA_BACKEND_DIR, ModelRegistry::BackendSettings{}, options);
    if (control == ModelControl::kExplicit) return registry_->load_all(1);
    auto models = scan_repository(folder_.path());
    for (auto& model : *models) EXPECT_TRUE(registry_->add(std::move(model)).ok());
    registry_->load_all(2);
  }
  std::shared_ptr<ServedModel> model(const std::string& name) {
    auto found = registry_->find(name, "");
    EXPECT_TRUE(found.ok()) << found.status();
    return *found;
  }
  static std::shared_ptr<InferRequest> request(const std::string& input = "IN",
                                               std::vector<int64_t> shape = {1}) {
    auto made = std::make_shared<InferRequest>();
    made->id = "7";
    made->inputs = {{input, DataType::kFp32, std::move(shape), make_buffer("1234")}};
    return made;
  }
  std::vector<InferResponse> infer(const std::string& name, std::shared_ptr<const InferRequest> asked) {
    const auto sink = std::make_shared<CollectingSink>();
    model(name)->infer(std::move(asked), sink);
    return sink->wait();
  }
  std::string load_error(const std::string& name) { return std::string(registry_->load(name, {}).message()); }
  std::string state(const std::string& name) {
    std::string text;
    for (const ModelStatus& one : registry_->index()) {
      if (one.name == name) text += model_state_name(one.state);
    }
    return text;
  }
  static bool becomes(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  ModelFolder folder_;
  std::unique_ptr<ModelRegistry> registry_;
};

TEST_F(Ensembles, TensorsGoFromMemberToMember) {
  folder_.write_echo("a", "{}");
  folder_.write_echo("b", "{}");
  write_ensemble("e", echo("b", "t", "OUT") + echo("a", "IN", "t"));
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto asked = request();
  const auto responses = infer("e", asked);
  ASSERT_EQ(responses.size(), 1U);
  ASSERT_TRUE(responses[0].status.ok()) << responses[0].status;
  ASSERT_EQ(responses[0].outputs.size(), 1U);
  EXPECT_EQ(responses[0].outputs[0].name, "OUT");
  EXPECT_EQ(responses[0].outputs[0].data.data, asked->inputs[0].data.data) << "no copy is made";
  for (const std::string name : {"a", "b", "e"}) {
    const StatisticsSnapshot figures = model(name)->statistics();
    EXPECT_EQ(figures.success.count, 1U) << name;
    EXPECT_EQ(figures.inference_count, 1U) << name;
    EXPECT_EQ(figures.execution_count, 1U) << name;
  }
  const StatisticsSnapshot whole = model("e")->statistics();
  EXPECT_EQ(whole.compute_infer.ns,
            model("a")->statistics().compute_infer.ns + model("b")->statistics().compute_infer.ns);
  EXPECT_EQ(model("e")->metadata().platform, "ensemble");
}

TEST_F(Ensembles, MembersAreLoadedFirst) {
  folder_.write_echo("z", R"({"load_ms": 50})");
  write_ensemble("a", step("b", {{"IN", "IN"}}, {{"OUT", "OUT"}}));
  write_ensemble("b", echo("z", "IN", "OUT"));
  open(ModelControl::kNone);
  EXPECT_EQ(state("a") + state("b") + state("z"), "READYREADYREADY");
  EXPECT_TRUE(registry_->ready());
  EXPECT_TRUE(infer("a", request())[0].status.ok());
}

TEST_F(Ensembles, IndependentStepsRunSideBySide) {
  folder_.write_echo("a", R"({"delay_ms": 300})");
  folder_.write_echo("b", R"({"delay_ms": 300})");
  write_ensemble("e", echo("a", "IN", "OUT") + echo("b", "IN", "OUT2"),
                 kIn + kOut + tensor("output", "OUT2", kFloats));
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto sink = std::make_shared<CollectingSink>();
  const auto held = model("e");
  held->infer(request(), sink);
  EXPECT_EQ(model("a")->statistics().in_flight, 1);
  EXPECT_EQ(model("b")->statistics().in_flight, 1);
  const auto responses = sink->wait();
  ASSERT_EQ(responses.size(), 1U);
  EXPECT_EQ(responses[0].outputs.size(), 2U);
}

TEST_F(Ensembles, OnlyWhatARequestedOutputNeedsIsRun) {
  for (const char* name : {"a", "b", "c"}) folder_.write_echo(name, "{}");
  write_ensemble("e", echo("a", "IN", "t") + echo("b", "t", "OUT") + echo("c", "IN", "OUT2"),
                 kIn + kOut + tensor("output", "OUT2", kFloats));
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto asked = request();
  asked->requested_outputs = {"OUT2"};
  const auto responses = infer("e", asked);
  ASSERT_EQ(responses[0].outputs.size(), 1U) << responses[0].status;
  EXPECT_EQ(responses[0].outputs[0].name, "OUT2");
  EXPECT_EQ(model("a")->statistics().inference_count, 0U);
  EXPECT_EQ(model("b")->statistics().inference_count, 0U);
  EXPECT_EQ(model("c")->statistics().inference_count, 1U);
}

TEST_F(Ensembles, OptionalInputsMayBeLeftOut) {
  folder_.write_echo("text", R"({"kind": "text"})");
  constexpr char kText[] = "data_type: TYPE_STRING dims: [1]";
  write_ensemble("e", step("text", {{"text_input", "A"}, {"messages", "B"}}, {{"text_output", "OUT"}}),
                 tensor("input", "A", concat(kText, " optional: true")) +
                     tensor("input", "B", concat(kText, " optional: true")) + tensor("output", "OUT", kText));
  open();
  ASSERT_EQ(load_error("e"), "");
  EXPECT_TRUE(model("e")->metadata().decoupled) << "its member is";
  auto asked = std::make_shared<InferRequest>();
  asked->inputs = {bytes_tensor("A", {"one two three"})};
  const auto responses = infer("e", asked);
  std::string text;
  for (const InferResponse& response : responses) {
    ASSERT_TRUE(response.status.ok()) << response.status;
    for (const Tensor& output : response.outputs) text += (*bytes_elements(output)).front();
  }
  EXPECT_EQ(text, "one two three");
  EXPECT_TRUE(responses.back().final);
}

TEST_F(Ensembles, ADecoupledMemberMakesAStream) {
  folder_.write_echo("many", R"({"kind": "repeat", "times": 3})");
  folder_.write_echo("a", "{}");
  write_ensemble("e", echo("many", "IN", "t") + echo("a", "t", "OUT"));
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto responses = infer("e", request());
  size_t answers = 0;
  for (const InferResponse& response : responses) answers += response.outputs.size();
  EXPECT_EQ(answers, 3U);
  EXPECT_TRUE(responses.back().final);
  EXPECT_EQ(model("a")->statistics().success.count, 3U);
  EXPECT_EQ(model("e")->statistics().success.count, 1U);
}

TEST_F(Ensembles, MaxInflightRequestsBoundsWhatAStepHasAtItsMember) {
  folder_.write_echo("many", R"({"kind": "repeat", "times": 4})");
  folder_.write_echo("slow", R"({"delay_ms": 100})");
  for (const int bound : {0, 1}) {
    const std::string name = concat("e", bound);
    write_ensemble(name, concat("max_inflight_requests: ", bound, " ", echo("many", "IN", "t"),
                                echo("slow", "t", "OUT")));
  }
  open();
  for (const int bound : {0, 1}) {
    ASSERT_EQ(load_error(concat("e", bound)), "");
    const auto held = model(concat("e", bound));
    const auto sink = std::make_shared<CollectingSink>();
    held->infer(request(), sink);
    int64_t most = 0;
    while (!sink->ended()) most = std::max(most, model("slow")->statistics().in_flight);
    EXPECT_EQ(most > 1, bound == 0) << most << " at once";
    size_t answers = 0;
    for (const InferResponse& response : sink->wait()) answers += response.outputs.size();
    EXPECT_EQ(answers, 4U);
  }
}

TEST_F(Ensembles, FailuresNameTheEnsemble) {
  folder_.write_echo("a", R"({"shape": [2]})");
  write_ensemble("e", echo("a", "IN", "OUT"));
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto responses = infer("e", request());
  ASSERT_EQ(responses.size(), 1U);
  EXPECT_TRUE(absl::IsInvalidArgument(responses[0].status));
  EXPECT_TRUE(std::string(responses[0].status.message())
                  .starts_with("in ensemble 'e', [request id: 7] unexpected shape for input 'INPUT0' for "
                               "model 'a'"))
      << responses[0].status;
  EXPECT_EQ(model("e")->statistics().fail.count, 1U);
}

TEST_F(Ensembles, ACancelledRequestStartsNoFurtherStep) {
  folder_.write_echo("a", R"({"delay_ms": 50})");
  folder_.write_echo("b", "{}");
  write_ensemble("e", echo("a", "IN", "t") + echo("b", "t", "OUT"));
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto asked = request();
  const auto sink = std::make_shared<CollectingSink>();
  const auto held = model("e");
  held->infer(asked, sink);
  asked->cancellation->cancel();
  const auto responses = sink->wait();
  ASSERT_EQ(responses.size(), 1U);
  EXPECT_TRUE(absl::IsCancelled(responses[0].status)) << responses[0].status;
  EXPECT_EQ(model("b")->statistics().success.count, 0U);
}

TEST_F(Ensembles, PriorityAndTimeoutReachTheMembers) {
  folder_.write("a/config.pbtxt",
                "backend: 'echo' max_batch_size: 4 dynamic_batching { default_queue_policy { "
                "allow_timeout_override: true } }");
  folder_.write("a/1/echo.json", R"({"delay_ms": 200})");
  write_ensemble("e", echo("a", "IN", "OUT"), "max_batch_size: 4 " + kIn + kOut);
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto first = std::make_shared<CollectingSink>();
  const auto held = model("e");
  held->infer(request("IN", {1, 1}), first);
  ASSERT_TRUE(becomes([&] { return model("a")->statistics().pending == 0; }));
  const auto late = request("IN", {1, 1});
  late->parameters["timeout"] = int64_t{1000};
  const auto responses = infer("e", late);
  EXPECT_EQ(responses[0].status.message(), "in ensemble 'e', Request timeout expired");
  EXPECT_TRUE(first->wait()[0].status.ok());
}

TEST_F(Ensembles, ABatchOfOneGoesToAModelWithoutBatches) {
  folder_.write_echo("plain", R"({"shape": [1]})");
  folder_.write("batched/config.pbtxt", "backend: 'echo' max_batch_size: 4");
  folder_.write("batched/1/echo.json", R"({"shape": [-1, 1]})");
  write_ensemble("e", echo("batched", "IN", "t") + echo("plain", "t", "u") + echo("batched", "u", "OUT"),
                 "max_batch_size: 4 " + kIn + kOut);
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto responses = infer("e", request("IN", {1, 1}));
  ASSERT_TRUE(responses[0].status.ok()) << responses[0].status;
  EXPECT_EQ(responses[0].outputs[0].shape, (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(model("e")->statistics().batches.count(1), 1U);
}

TEST_F(Ensembles, MembersThatDoNotFitAreRefusedAtLoad) {
  folder_.write_echo("f", "{}");
  folder_.write_echo("two", R"({"shape": [2]})");
  folder_.write_echo("i", R"({"datatype": "INT8"})");
  folder_.write_echo("many", R"({"kind": "repeat"})");
  folder_.write_echo("bad", R"({"kind": "mirror"})");
  folder_.write("b/config.pbtxt", "backend: 'echo' max_batch_size: 2");
  folder_.write("b/1/echo.json", "{}");
  const std::string out2 = tensor("output", "OUT2", kFloats);
  const struct {
    std::string name, steps, rest, reason;
  } cases[] = {
      {"e1", echo("nobody", "IN", "OUT"), kIn + kOut,
       "ensemble e1 contains models that are not available or ambiguous: nobody"},
      {"e2", step("f", {{"INPUT0", "IN"}, {"X", "IN"}}, {{"OUTPUT0", "OUT"}}), kIn + kOut,
       "in ensemble e2, ensemble tensor IN is mapping to non-existing input X in model f"},
      {"e3", step("f", {{"INPUT0", "IN"}}, {{"Y", "OUT"}}), kIn + kOut,
       "in ensemble e3, ensemble tensor OUT is mapped from non-existing output Y in model f"},
      {"e4", echo("i", "IN", "OUT"), kIn + kOut,
       "in ensemble e4, ensemble tensor IN: inconsistent data type: TYPE_FP32 is inferred from model e4 "
       "while TYPE_INT8 is inferred from model i"},
      {"e5", echo("two", "IN", "OUT"), tensor("input", "IN", "data_type: TYPE_FP32 dims: [3]") + kOut,
       "in ensemble e5, ensemble tensor IN: inconsistent shape: [3] is inferred from model e5 while [2] is "
       "inferred from model two"},
      {"e6", echo("b", "IN", "OUT"), "max_batch_size: 4 " + kIn + kOut,
       "ensemble e6 allows maximum batch size 4, but it contains model b which only allows maximum batch "
       "size to be 2"},
      {"e7", echo("many", "IN", "OUT") + echo("f", "IN", "OUT2"), kIn + kOut + out2,
       "in ensemble e7, step of model 'e7' receives inputs originated from different decoupled models"},
      {"e8", echo("bad", "IN", "OUT"), kIn + kOut,
       "ensemble 'e8' depends on 'bad' which has no loaded version. Model 'bad' loading failed with error: "
       "version 1 is at UNAVAILABLE state: "},
      {"e9", echo("f", "IN", "OUT", 3), kIn + kOut,
       "ensemble 'e9' depends on 'f' whose required version 3 is not loaded"},
      {"c1", echo("c2", "IN", "OUT"), kIn + kOut,
       "circular dependency between ensembles: c1 -> ... -> c2 -> c1"},
      {"c2", echo("c1", "IN", "OUT"), kIn + kOut,
       "circular dependency between ensembles: c2 -> ... -> c1 -> c2"},
  };
  for (const auto& one : cases) write_ensemble(one.name, one.steps, one.rest);
  open();
  for (const auto& one : cases) {
    const std::string error = load_error(one.name);
    EXPECT_NE(error.find(one.reason), std::string::npos) << one.name << ": " << error;
    EXPECT_EQ(state(one.name), "UNAVAILABLE") << one.name;
  }
  EXPECT_EQ(state("f"), "READY") << "what is sound is served";
}

TEST_F(Ensembles, AMandatoryInputMustBeMapped) {
  folder_.write_echo("text", R"({"kind": "text"})");
  folder_.write(
      "text/config.pbtxt",
      "backend: 'echo' input { name: 'text_input' data_type: TYPE_STRING dims: 1 } input { name: "
      "'messages' data_type: TYPE_STRING dims: 1 optional: true } input { name: 'input_ids' data_type: "
      "TYPE_INT32 dims: -1 optional: true }");
  constexpr char kText[] = "data_type: TYPE_STRING dims: [1]";
  write_ensemble("e", step("text", {{"messages", "A"}}, {{"text_output", "OUT"}}),
                 tensor("input", "A", kText) + tensor("output", "OUT", kText));
  open();
  EXPECT_NE(load_error("e").find(
                "in ensemble e, input text_input in model text is not mapped to any ensemble tensors"),
            std::string::npos);
}

TEST_F(Ensembles, AnEnsembleFollowsItsMembers) {
  folder_.write_echo("a", "{}");
  write_ensemble("e", echo("a", "IN", "OUT"));
  open();
  ASSERT_EQ(load_error("e"), "");
  ASSERT_TRUE(registry_->unload("a", false).ok());
  EXPECT_EQ(state("e"), "UNAVAILABLE");
  EXPECT_TRUE(registry_->ready()) << "it was done on purpose";
  ASSERT_EQ(load_error("a"), "");
  EXPECT_EQ(state("e"), "READY");
  folder_.write("a/1/echo.json", R"({"datatype": "INT8"})");
  ASSERT_EQ(load_error("a"), "");
  EXPECT_EQ(state("e"), "UNAVAILABLE") << "its tensors no longer fit";
  folder_.write("a/1/echo.json", R"({"shape": [1]})");
  ASSERT_EQ(load_error("a"), "");
  EXPECT_EQ(state("e"), "READY");
  EXPECT_TRUE(infer("e", request())[0].status.ok());
}

TEST_F(Ensembles, UnloadDependentsTakesWhatWasLoadedForTheEnsemble) {
  for (const char* name : {"asked", "own", "shared"}) folder_.write_echo(name, "{}");
  write_ensemble("e", echo("asked", "IN", "t") + echo("own", "t", "u") + echo("shared", "u", "OUT"));
  write_ensemble("f", echo("shared", "IN", "OUT"));
  open();
  ASSERT_EQ(load_error("asked") + load_error("e") + load_error("f"), "");
  ASSERT_TRUE(registry_->unload("e", false).ok());
  EXPECT_EQ(state("own"), "READY");
  ASSERT_EQ(load_error("e"), "");
  ASSERT_TRUE(registry_->unload("e", true).ok());
  EXPECT_EQ(state("own"), "UNAVAILABLE");
  EXPECT_EQ(state("asked") + state("shared") + state("f"), "READYREADYREADY");
}

TEST_F(Ensembles, PollingFollowsMembersToo) {
  folder_.write_echo("a", "{}");
  write_ensemble("e", echo("a", "IN", "t") + echo("b", "t", "OUT"));
  open(ModelControl::kPoll);
  EXPECT_EQ(state("e"), "UNAVAILABLE");
  folder_.write_echo("b", "{}");
  registry_->poll();
  EXPECT_EQ(state("e"), "READY");
  std::filesystem::remove_all(folder_.path("a"));
  registry_->poll();
  EXPECT_EQ(state("e"), "UNAVAILABLE");
}

TEST_F(Ensembles, AnUnloadedMemberGoesWhenTheRequestIsDone) {
  folder_.write("a/config.pbtxt", "backend: 'echo' max_batch_size: 4");
  folder_.write("a/1/echo.json", R"({"delay_ms": 50})");
  write_ensemble("e", echo("a", "IN", "OUT"), "max_batch_size: 4 " + kIn + kOut);
  open();
  ASSERT_EQ(load_error("e"), "");
  const auto sink = std::make_shared<CollectingSink>();
  model("e")->infer(request("IN", {1, 1}), sink);  // held by the registry alone
  ASSERT_TRUE(registry_->unload("a", false).ok());
  const auto responses = sink->wait();
  EXPECT_TRUE(responses.at(0).status.ok()) << responses.at(0).status;
  EXPECT_TRUE(becomes([&] { return state("a") == "UNAVAILABLE"; }));
}

}  // namespace
}  // namespace zeta::serving
