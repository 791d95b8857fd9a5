// PyTorch models as the server uses them: the shared object opened by name, scheduled by src/serving.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "src/serving/scheduling/scheduled_model.h"
#include "src/serving/tensor.h"
#include "tests/unit/serving/collecting_sink.h"
#include "tests/unit/serving/scheduling/requests.h"

namespace zeta::serving {
namespace {

namespace fs = std::filesystem;

Backend& backend() {
  static Backend* const loaded = [] {
    void* library = ::dlopen(ZETA_BACKEND, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(::dlerror());
    return reinterpret_cast<Backend* (*)()>(::dlsym(library, "zeta_backend"))();
  }();
  return *loaded;
}

TensorMetadata tensor(const std::string& name, std::vector<int64_t> shape = {-1, 4},
                      DataType type = DataType::kFp32) {
  return {name, type, std::move(shape)};
}

ModelSource source(const std::string& folder, std::vector<TensorMetadata> inputs,
                   std::vector<TensorMetadata> outputs, Parameters parameters = {}) {
  ModelSource made{folder, "1", ZETA_GOLDEN_TORCH_DIR "/" + folder, std::move(parameters)};
  made.max_batch_size = 8;
  made.inputs = std::move(inputs);
  made.outputs = std::move(outputs);
  return made;
}

class Served {
 public:
  explicit Served(const ModelSource& from, int count = 1) {
    SchedulingPolicy policy{.max_batch_size = from.max_batch_size, .dynamic_batching = DynamicBatching{}};
    policy.instance_groups = {{.count = count}};
    auto executable = backend().load_executable(from);
    if (!executable.ok()) throw std::runtime_error(std::string(executable.status().message()));
    auto made = ScheduledModel::create(*std::move(executable), policy, std::make_shared<Statistics>(true));
    if (!made.ok()) throw std::runtime_error(std::string(made.status().message()));
    model = *std::move(made);
  }
  InferResponse infer(std::vector<Tensor> inputs, std::vector<std::string> outputs = {}) const {
    auto request = std::make_shared<InferRequest>();
    request->inputs = std::move(inputs);
    request->requested_outputs = std::move(outputs);
    auto sink = std::make_shared<CollectingSink>();
    model->infer(request, sink);
    return sink->wait().at(0);
  }
  double weight_copies() const { return model->metrics().at(0).value; }
  std::unique_ptr<ScheduledModel> model;
};

std::string refusal(const ModelSource& from) {
  try {
    const Served served(from);
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

const std::vector<TensorMetadata> kPair{tensor("subtrahend"), tensor("minuend")};

std::vector<float> output_of(const InferResponse& response, size_t i = 0) {
  EXPECT_TRUE(response.status.ok()) << response.status;
  return response.outputs.size() > i ? values_of(response.outputs[i]) : std::vector<float>();
}

TEST(TorchBackend, RunsTorchScript) {
  const Served served(source("affine", {tensor("x")}, {tensor("y"), tensor("sum", {-1, 1})}));
  EXPECT_EQ(served.model->metadata().platform, "pytorch_libtorch");
  const auto response = served.infer({floats("x", {2, 4}, {0, 1, 2, 3, 4, 5, 6, 7})});
  EXPECT_EQ(output_of(response), (std::vector<float>{1, 3, 5, 7, 9, 11, 13, 15}));
  EXPECT_EQ(output_of(response, 1), (std::vector<float>{6, 22}));
  EXPECT_EQ(response.outputs[0].shape, (std::vector<int64_t>{2, 4}));
  const auto one = served.infer({floats("x", {1, 4}, {1, 1, 1, 1})}, {"sum"});
  ASSERT_EQ(one.outputs.size(), 1U);
  EXPECT_EQ(output_of(one), std::vector<float>{4});
}

TEST(TorchBackend, CopiesInputsThatAreNotAligned) {
  const Served served(source("affine", {tensor("x")}, {tensor("y")}));
  std::string bytes(17, '\0');
  const float values[] = {1, 2, 3, 4};
  std::memcpy(bytes.data() + 1, values, sizeof values);
  Tensor input{"x", DataType::kFp32, {1, 4}, make_buffer(bytes)};
  input.data.data += 1;
  input.data.size -= 1;
  EXPECT_EQ(output_of(served.infer({input})), (std::vector<float>{3, 5, 7, 9}));
}

TEST(TorchBackend, ResponsesKeepTheirValuesWhenTheModelWritesToItsBuffer) {
  const Served served(source("total", {tensor("x")}, {tensor("y")}));
  const auto first = served.infer({floats("x", {1, 4}, {1, 2, 3, 4})});
  const auto second = served.infer({floats("x", {1, 4}, {1, 1, 1, 1})});
  EXPECT_EQ(output_of(second), (std::vector<float>{2, 3, 4, 5}));
  EXPECT_EQ(output_of(first), (std::vector<float>{1, 2, 3, 4}));
}

TEST(TorchBackend, NamesInputsByArgumentByIndexOrByOrder) {
  const auto difference = [](const std::string& first, const std::string& second) {
    const Served served(source("difference", {tensor(first), tensor(second)}, {tensor("OUTPUT__0")}));
    return output_of(
        served.infer({floats(first, {1, 4}, {5, 5, 5, 5}), floats(second, {1, 4}, {1, 2, 3, 4})}));
  };
  const std::vector<float> plus{4, 3, 2, 1}, minus{-4, -3, -2, -1};
  EXPECT_EQ(difference("minuend", "subtrahend"), plus);
  EXPECT_EQ(difference("subtrahend", "minuend"), minus);
  EXPECT_EQ(difference("INPUT__0", "INPUT__1"), plus);
  EXPECT_EQ(difference("INPUT__1", "INPUT__0"), minus);
  EXPECT_EQ(difference("this", "that"), plus) << "neither: as the configuration says them";
}

TEST(TorchBackend, RefusesInputsThatDoNotFitTheModel) {
  EXPECT_EQ(refusal(source("difference", {tensor("X__0"), tensor("X__2")}, {tensor("y")})),
            "'X__2' would be number 2 of the model's tensors, which has 2");
  EXPECT_EQ(refusal(source("difference", {tensor("X__1"), tensor("Z__1")}, {tensor("y")})),
            "'Z__1' and 'X__1' are both number 1 of the model's tensors");
  EXPECT_EQ(refusal(source("difference", {tensor("minuend")}, {tensor("y")})),
            "no input, or only an optional one, for the model's argument 'subtrahend'");
  EXPECT_NE(refusal(source("affine", {tensor("x", {-1}, DataType::kBytes)}, {tensor("y")}))
                .find("which is a Tensor"),
            std::string::npos);
}

TEST(TorchBackend, ADictionaryTakesInputsByName) {
  const Served served(source("named", {tensor("b"), tensor("a")}, {tensor("difference")}));
  const auto response = served.infer({floats("a", {1, 4}, {5, 5, 5, 5}), floats("b", {1, 4}, {1, 2, 3, 4})});
  EXPECT_EQ(output_of(response), (std::vector<float>{4, 3, 2, 1}));
}

TEST(TorchBackend, TextsAreLists) {
  const Served served(source("texts", {tensor("texts", {-1, 1}, DataType::kBytes)},
                             {tensor("out", {-1, 1}, DataType::kBytes)}));
  Tensor input = bytes_tensor("texts", {"a", "", "ccc"});
  input.shape = {3, 1};
  const auto response = served.infer({input});
  ASSERT_TRUE(response.status.ok()) << response.status;
  EXPECT_EQ(response.outputs[0].shape, (std::vector<int64_t>{3, 1}));
  EXPECT_EQ(*bytes_elements(response.outputs[0]), (std::vector<std::string_view>{"a!", "!", "ccc!"}));
}

TEST(TorchBackend, OptionalInputsGetTheirDefault) {
  std::vector<TensorMetadata> inputs{tensor("x"), tensor("bias")};
  inputs[1].optional = true;
  const Served served(source("default", inputs, {tensor("y")}));
  const Tensor x = floats("x", {1, 4}, {1, 2, 3, 4});
  EXPECT_EQ(output_of(served.infer({x})), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(output_of(served.infer({x, floats("bias", {1, 4}, {1, 1, 1, 1})})),
            (std::vector<float>{2, 3, 4, 5}));
}

TEST(TorchBackend, OurOperatorsAreThere) {
  const Served served(source("operator", {tensor("x", {-1, 8})}, {tensor("y", {-1, 8})}));
  const auto values = output_of(served.infer({floats("x", {1, 8}, {1, -1, 1, -1, 1, -1, 1, -1})}));
  EXPECT_EQ(values, (std::vector<float>{1, -1, 1, -1, 1, -1, 1, -1}));
}

TEST(TorchBackend, AModelThatFailsTellsWhyAndGoesOn) {
  const Served served(source("moody", {tensor("x", {-1, 1})}, {tensor("y", {-1, 1})}));
  const auto mood = [&](float value) { return served.infer({floats("x", {1, 1}, {value})}); };
  for (const auto& [value, text] : {std::pair(1.0F, "a bad mood"), {2.0F, "memory"}}) {
    const auto response = mood(value);
    EXPECT_EQ(response.status.code(), absl::StatusCode::kInternal);
    EXPECT_TRUE(std::string(response.status.message()).starts_with("PyTorch execute failure: "))
        << response.status;
    EXPECT_NE(response.status.message().find(text), std::string::npos) << response.status;
  }
  EXPECT_EQ(mood(3).status.message(), "unexpected datatype INT64 for inference output 'y', expecting FP32");
  EXPECT_EQ(output_of(mood(0)), std::vector<float>{0});
}

TEST(TorchBackend, NamesTheOutputThatTheModelDoesNotGive) {
  const Served served(source("difference", kPair, {tensor("a"), tensor("b")}));
  const Tensor x = floats("minuend", {1, 4}, {1, 2, 3, 4});
  Tensor y = x;
  y.name = "subtrahend";
  EXPECT_EQ(served.infer({x, y}).status.message(), "the model gave 1 results, without output 'b'");
  EXPECT_TRUE(served.infer({x, y}, {"a"}).status.ok()) << "nor need it, if nobody asks";
}

TEST(TorchBackend, ShapesAreCheckedBeforeTheModelRuns) {
  const Served served(source("affine", {tensor("x")}, {tensor("y")}));
  EXPECT_EQ(served.infer({floats("x", {1, 3}, {1, 2, 3})}).status.message(),
            "input 'x' has shape [1,3], expected [-1,4]");
  EXPECT_EQ(served.infer({floats("x", {1, 4}, {1, 2, 3})}).status.message(),
            "input 'x' has 12 bytes, expected 16 for shape [1,4]");
}

TEST(TorchBackend, WeightSharingSavesCopies) {
  for (const auto& [sharing, copies] : {std::pair("false", 3.0), {"true", 1.0}}) {
    const Served served(
        source("affine", {tensor("x")}, {tensor("y")}, {{"ENABLE_WEIGHT_SHARING", std::string(sharing)}}), 3);
    EXPECT_EQ(served.weight_copies(), copies);
  }
}

TEST(TorchBackend, TakesEveryParameter) {
  Parameters parameters;
  for (const char* name : {"DISABLE_OPTIMIZED_EXECUTION", "ENABLE_WEIGHT_SHARING", "ENABLE_CACHE_CLEANING",
                           "ENABLE_JIT_EXECUTOR", "ENABLE_JIT_PROFILING"}) {
    parameters[name] = std::string("true");
  }
  parameters["INFERENCE_MODE"] = std::string("false");
  parameters["DISABLE_CUDNN"] = std::string("false");
  parameters["INTRA_OP_THREAD_COUNT"] = std::string("1");
  parameters["INTER_OP_THREAD_COUNT"] = std::string("1");
  const ModelSource first = source("affine", {tensor("x")}, {tensor("y")}, parameters);
  const Served served(first);
  EXPECT_EQ(output_of(served.infer({floats("x", {1, 4}, {0, 1, 2, 3})})), (std::vector<float>{1, 3, 5, 7}));
  ModelSource second = first;
  second.parameters = {{"INTRA_OP_THREAD_COUNT", std::string("2")}};
  EXPECT_EQ((*backend().load_executable(second))->metadata().notice,
            "INTRA_OP_THREAD_COUNT = 2 has no effect: another model set it to 1 for the whole process");
}

TEST(TorchBackend, RefusesParametersByName) {
  const auto with = [](const char* name, const char* value) {
    return refusal(source("affine", {tensor("x")}, {tensor("y")}, {{name, std::string(value)}}));
  };
  EXPECT_EQ(with("INFERENCE_MODE", "maybe"),
            "parameter 'INFERENCE_MODE' of a PyTorch model: expected true or false, got 'maybe'");
  EXPECT_EQ(
      with("INTRA_OP_THREAD_COUNT", "0"),
      "parameter 'INTRA_OP_THREAD_COUNT' of a PyTorch model: expected an integer from 1 to 4096, got '0'");
  EXPECT_TRUE(with("NUM_THREADS", "2").starts_with("unknown parameter 'NUM_THREADS' of a PyTorch model"));
}

TEST(TorchBackend, RefusesWhatItCannotLoad) {
  EXPECT_TRUE(refusal(source("corrupt", {tensor("x")}, {tensor("y")}))
                  .starts_with("cannot load " ZETA_GOLDEN_TORCH_DIR "/corrupt/model.pt: "));
  EXPECT_EQ(refusal(source("empty", {tensor("x")}, {tensor("y")})),
            ZETA_GOLDEN_TORCH_DIR "/empty has neither model.pt (TorchScript) nor model.pt2 (AOTInductor)");
  EXPECT_NE(refusal(source("affine", {}, {tensor("y")})).find("has no 'input'"), std::string::npos);
  ModelSource other = source("affine", {tensor("x")}, {tensor("y")});
  other.file = "other.pt";
  EXPECT_EQ(refusal(other), "no such file: " ZETA_GOLDEN_TORCH_DIR "/affine/other.pt");
}

TEST(TorchBackend, AGpuThatIsNotThereIsRefused) {
  auto executable = backend().load_executable(source("affine", {tensor("x")}, {tensor("y")}));
  ASSERT_TRUE(executable.ok());
  const auto instance = (*executable)->make_instance({"g_0", Placement::Kind::kGpu, 4096});
  EXPECT_EQ(instance.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(
      std::string(instance.status().message()).starts_with("instance g_0 wants GPU 4096, but torch sees "))
      << instance.status();
}

TEST(TorchBackend, CudaGraphsAreReported) {
  ModelSource asking = source("affine", {tensor("x")}, {tensor("y")});
  EXPECT_EQ(Served(asking).model->notice(), "");
  asking.cuda.graphs = true;
  const Served served(asking, 2);
  EXPECT_EQ(served.model->notice(), "optimization.cuda.graphs: not captured on the CPU") << "once for both";
  EXPECT_EQ(output_of(served.infer({floats("x", {1, 4}, {0, 1, 2, 3})})), (std::vector<float>{1, 3, 5, 7}));
  const auto metrics = served.model->metrics();
  ASSERT_EQ(metrics.size(), 2U);
  EXPECT_EQ(metrics[1].name, "nv_cuda_graph_replay_count");
  EXPECT_EQ(metrics[1].value, 0);
  asking.cuda.graph_specs = {{.batch_size = 9}};
  EXPECT_EQ(refusal(asking), "model 'affine': optimization.cuda.graph_spec.batch_size is 9, expected 1 to 8");
}

TEST(TorchBackend, ASidecarTellsWhatTheConfigurationLeavesOpen) {
  const fs::path folder = fs::path(::testing::TempDir()) / "sidecar";
  fs::remove_all(folder);
  fs::copy(ZETA_GOLDEN_TORCH_DIR "/affine", folder);
  std::ofstream(folder / "tensors.json")
      << R"({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
             "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}]})";
  ModelSource open = source("affine", {}, {});
  open.folder = folder;
  {
    const Served served(open);
    EXPECT_EQ(served.model->metadata().inputs.at(0).shape, (std::vector<int64_t>{-1, 4}));
    EXPECT_EQ(output_of(served.infer({floats("x", {1, 4}, {0, 1, 2, 3})})), (std::vector<float>{1, 3, 5, 7}));
  }
  open.inputs = {tensor("x", {-1, 3})};
  EXPECT_EQ(refusal(open), "input 'x' has shape [-1,3] in the configuration, but the model's is [-1,4]");
  open.inputs = {tensor("x", {-1, 4}, DataType::kInt32)};
  EXPECT_EQ(refusal(open), "input 'x' is INT32 in the configuration, but the model's is FP32");
  std::ofstream(folder / "tensors.json") << R"({"inputs": 3})";
  EXPECT_NE(refusal(open).find("tensors.json: "), std::string::npos);
}

TEST(TorchBackend, RunsPackages) {
  const auto difference = [](const std::string& first, const std::string& second) {
    const Served served(source("package", {tensor(first), tensor(second)}, {tensor("OUTPUT__0")}));
    EXPECT_EQ(served.model->metadata().platform, "torch_aoti");
    return output_of(
        served.infer({floats(first, {1, 4}, {5, 5, 5, 5}), floats(second, {1, 4}, {1, 2, 3, 4})}));
  };
  EXPECT_EQ(difference("ARGS[0]", "KWARGS[subtrahend]"), (std::vector<float>{4, 3, 2, 1}));
  EXPECT_EQ(difference("KWARGS[subtrahend]", "ARGS[0]"), (std::vector<float>{-4, -3, -2, -1}));
  EXPECT_EQ(difference("INPUT__1", "INPUT__0"), (std::vector<float>{-4, -3, -2, -1}));
}

TEST(TorchBackend, PackagesGetOnlyWhatFitsThem) {
  EXPECT_EQ(refusal(source("package", {tensor("INPUT__0")}, {tensor("y")})),
            "the configuration has 1 inputs, but the package takes 2");
  EXPECT_EQ(refusal(source("package", {tensor("a"), tensor("b")}, {tensor("y__0"), tensor("y__1")})),
            "'y__1' would be number 1 of the model's tensors, which has 1");
  const Served served(source("package", {tensor("a"), tensor("b")}, {tensor("RESULT")},
                             {{"ENABLE_WEIGHT_SHARING", std::string("true")}}),
                      2);
  EXPECT_EQ(served.weight_copies(), 1);
  const Tensor good = floats("a", {1, 4}, {1, 2, 3, 4});
  EXPECT_EQ(served.infer({good, floats("b", {1, 3}, {1, 2, 3})}).status.message(),
            "input 'b' has shape [1,3], expected [-1,4]");
  Tensor other = good;
  other.name = "b";
  EXPECT_EQ(output_of(served.infer({good, other})), (std::vector<float>{0, 0, 0, 0}));
}

TEST(TorchBackend, ResponsesOutliveThePackageWhoseBufferTheyAre) {
  InferResponse first;
  {
    const Served served(source("package_total", {tensor("x")}, {tensor("y")}));
    first = served.infer({floats("x", {1, 4}, {1, 2, 3, 4})});
    EXPECT_EQ(output_of(served.infer({floats("x", {1, 4}, {1, 1, 1, 1})})), (std::vector<float>{2, 3, 4, 5}));
    EXPECT_EQ(output_of(first), (std::vector<float>{1, 2, 3, 4})) << "the next run writes to the buffer";
  }
  EXPECT_EQ(output_of(first), (std::vector<float>{1, 2, 3, 4}));
}

TEST(TorchBackend, AModelMayChooseItsPlaceItself) {
  auto executable = backend().load_executable(source("affine", {tensor("x")}, {tensor("y")}));
  ASSERT_TRUE(executable.ok());
  EXPECT_TRUE((*executable)->make_instance({"m_0", Placement::Kind::kModel, 0}).ok());
}

// Resident memory in kB.
int64_t resident() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, pages = 0;
  statm >> total >> pages;
  return pages * 4;
}

TEST(TorchBackend, FiftyLoadsAndUnloadsLeaveNothing) {
  const ModelSource from = source("affine", {tensor("x")}, {tensor("y")});
  const auto cycle = [&] {
    const Served served(from, 2);
    EXPECT_EQ(output_of(served.infer({floats("x", {1, 4}, {0, 1, 2, 3})})).size(), 4U);
  };
  for (int i = 0; i < 20; ++i) cycle();
  const int64_t before = resident();
  for (int i = 0; i < 50; ++i) cycle();
  // A leaked copy of so small a model would hide; its compiled graphs would not: 20 kB and more a cycle.
  EXPECT_LT(resident() - before, 1000) << "kB";
}

}  // namespace
}  // namespace zeta::serving
