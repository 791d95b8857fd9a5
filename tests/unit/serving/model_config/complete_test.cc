#include "src/serving/model_config/complete.h"

#include <gtest/gtest.h>

#include <string>

#include "src/serving/model_config/json.h"
#include "tests/unit/serving/model_config/config_text.h"

namespace zeta::serving {
namespace {

// tritonserver 2.51 answers the same for a model named "m" of the same file.
TEST(ModelConfigComplete, NormalisesAsTritonDoes) {
  EXPECT_EQ(
      model_config_json(read_config(std::string("backend: 'python'\n") + kTensors)),
      R"({"name":"m","platform":"","backend":"python","runtime":"","version_policy":{"latest":{"num_versions":1}},)"
      R"("max_batch_size":0,"input":[{"name":"INPUT0","data_type":"TYPE_FP32","format":"FORMAT_NONE","dims":[2],)"
      R"("is_shape_tensor":false,"allow_ragged_batch":false,"optional":false,"is_non_linear_format_io":false}],)"
      R"("output":[{"name":"OUTPUT0","data_type":"TYPE_FP32","dims":[2],"label_filename":"","is_shape_tensor":false,)"
      R"("is_non_linear_format_io":false}],"batch_input":[],"batch_output":[],"optimization":{"priority":)"
      R"("PRIORITY_DEFAULT","input_pinned_memory":{"enable":true},"output_pinned_memory":{"enable":true},)"
      R"("gather_kernel_buffer_threshold":0,"eager_batching":false},"instance_group":[{"name":"m","kind":"KIND_CPU",)"
      R"("count":1,"gpus":[],"secondary_devices":[],"profile":[],"passive":false,"host_policy":""}],)"
      R"("default_model_filename":"","cc_model_filenames":{},"metric_tags":{},"parameters":{},"model_warmup":[]})");
}

TEST(ModelConfigComplete, NormalisesBatchersAndGroups) {
  const std::string dynamic = model_config_json(read_config("max_batch_size: 4 dynamic_batching { }"));
  EXPECT_NE(dynamic.find(R"("dynamic_batching":{"preferred_batch_size":[4],"max_queue_delay_microseconds":0,)"
                         R"("preserve_ordering":false,"priority_levels":0,"default_priority_level":0,)"
                         R"("priority_queue_policy":{}})"),
            std::string::npos)
      << dynamic;
  const std::string oldest =
      model_config_json(read_config("max_batch_size: 2 sequence_batching { oldest { } }"));
  EXPECT_NE(
      oldest.find(R"("sequence_batching":{"oldest":{"max_candidate_sequences":0,"preferred_batch_size":[2],)"
                  R"("max_queue_delay_microseconds":0,"preserve_ordering":false},)"
                  R"("max_sequence_idle_microseconds":1000000,"control_input":[],"state":[],)"
                  R"("iterative_sequence":false})"),
      std::string::npos)
      << oldest;
  const auto groups =
      read_config("backend: 'python' instance_group { } instance_group { count: 2 kind: KIND_MODEL }");
  EXPECT_EQ(groups.instance_group(0).name(), "m_0");
  EXPECT_EQ(groups.instance_group(0).count(), 1);
  EXPECT_EQ(groups.instance_group(0).kind(), inference::ModelInstanceGroup::KIND_CPU);
  EXPECT_EQ(groups.instance_group(1).name(), "m_1");
  EXPECT_EQ(groups.instance_group(1).count(), 2);
}

TEST(ModelConfigComplete, KnowsTritonsPlatforms) {
  const auto torchscript = read_config("platform: 'pytorch_libtorch'");
  EXPECT_EQ(torchscript.backend(), "pytorch");
  EXPECT_EQ(torchscript.default_model_filename(), "model.pt");
  EXPECT_EQ(read_config("platform: 'torch_aoti'").default_model_filename(), "model.pt2");
  EXPECT_EQ(read_config("backend: 'pytorch'").platform(), "pytorch_libtorch");
  EXPECT_EQ(read_config("backend: 'pytorch' default_model_filename: 'x.pt'").default_model_filename(),
            "x.pt");
}

ModelMetadata model() {
  return {"m",
          "1",
          "",
          {{"A", DataType::kFp32, {-1, 2}}, {"B", DataType::kBytes, {-1, 1}, true}},
          {{"Y", DataType::kInt64, {-1, -1}}},
          true};
}

std::string contradiction(const std::string& text) {
  inference::ModelConfig config = read_config(text);
  return std::string(complete_model_config(model(), config).message());
}

TEST(ModelConfigComplete, TakesWhatIsMissingFromTheModel) {
  inference::ModelConfig config = read_config("max_batch_size: 8");
  ASSERT_TRUE(complete_model_config(model(), config).ok());
  ASSERT_EQ(config.input_size(), 2);
  EXPECT_EQ(config.input(0).ShortDebugString(), "name: \"A\" data_type: TYPE_FP32 dims: 2");
  EXPECT_TRUE(config.input(1).optional());
  EXPECT_EQ(config.output(0).ShortDebugString(), "name: \"Y\" data_type: TYPE_INT64 dims: -1");
  EXPECT_TRUE(config.model_transaction_policy().decoupled());
  const ModelMetadata clients = client_metadata(config, "3");
  EXPECT_EQ(clients.version, "3");
  EXPECT_EQ(clients.max_batch_size, 8);
  EXPECT_EQ(clients.inputs[0].shape, (std::vector<int64_t>{-1, 2}));
  EXPECT_TRUE(clients.inputs[1].optional);
  EXPECT_TRUE(clients.decoupled);

  inference::ModelConfig whole = read_config("");
  ASSERT_TRUE(complete_model_config(model(), whole).ok());
  EXPECT_EQ(whole.input(0).dims_size(), 2) << "without max_batch_size dims are the whole shape";
}

TEST(ModelConfigComplete, NamesModelTensorAndBothValuesOfAContradiction) {
  const std::string b = "input { name: 'A' data_type: TYPE_FP32 dims: ";
  EXPECT_EQ(contradiction("max_batch_size: 8 " + b + "2 }"), "");
  EXPECT_EQ(contradiction(b + "[4, -1] }"), "");
  EXPECT_EQ(contradiction(b + "[4, 3] }"),
            "model 'm', tensor 'A': the configuration expects FP32[4,3], the model provides FP32[-1,2]");
  EXPECT_EQ(contradiction("input { name: 'A' data_type: TYPE_INT32 dims: [-1, 2] }"),
            "model 'm', tensor 'A': the configuration expects INT32[-1,2], the model provides FP32[-1,2]");
  EXPECT_EQ(contradiction("max_batch_size: 8 " + b + "[-1, 2] }"),
            "model 'm', tensor 'A': the configuration expects FP32[-1,-1,2], the model provides FP32[-1,2]");
  EXPECT_EQ(contradiction("input { name: 'C' data_type: TYPE_FP32 dims: 1 }"),
            "model 'm', tensor 'C': the configuration names this input, the model has 'A', 'B'");
  EXPECT_EQ(contradiction("input { name: 'B' data_type: TYPE_STRING dims: [-1, 1] }"),
            "model 'm': the configuration lacks the model's input 'A' of FP32[-1,2]");
  inference::ModelConfig config = read_config("max_batch_size: 2");
  ModelMetadata fixed = model();
  fixed.inputs[0].shape = {3, 2};
  EXPECT_EQ(
      complete_model_config(fixed, config).message(),
      "model 'm' has max_batch_size 2, but its input 'A' of shape [3,2] has no batch dimension: expected a "
      "first dimension of any size");
}

TEST(ModelConfigComplete, TellsTheModelWhatItIsToTake) {
  const auto config = read_config(
      "max_batch_size: 4\ninput { name: 'A' data_type: TYPE_FP32 dims: 1 reshape { } }\n"
      "output { name: 'Y' data_type: TYPE_FP32 dims: 4 reshape { shape: [2, 2] } }\n"
      "batch_input { target_name: 'COUNT' data_type: TYPE_INT32 source_input: 'A' }\n"
      "batch_input { kind: BATCH_ITEM_SHAPE target_name: 'ITEMS' data_type: TYPE_INT32 source_input: 'A' "
      "}\n"
      "sequence_batching { control_input { name: 'START' control { fp32_false_true: [0, 1] } }\n"
      "  state { input_name: 'IN' output_name: 'OUT' data_type: TYPE_INT64 dims: 3 } }");
  const auto inputs = model_inputs(config);
  ASSERT_EQ(inputs.size(), 5u);
  EXPECT_EQ(inputs[0].shape, (std::vector<int64_t>{-1}));
  EXPECT_EQ(inputs[1].name, "START");
  EXPECT_EQ(inputs[1].datatype, DataType::kFp32);
  EXPECT_EQ(inputs[1].shape, (std::vector<int64_t>{-1, 1}));
  EXPECT_EQ(inputs[2].name, "IN");
  EXPECT_EQ(inputs[2].shape, (std::vector<int64_t>{-1, 3}));
  EXPECT_EQ(inputs[3].name, "COUNT");
  EXPECT_EQ(inputs[3].shape, (std::vector<int64_t>{-1}));
  EXPECT_EQ(inputs[4].name, "ITEMS");
  EXPECT_EQ(inputs[4].shape, (std::vector<int64_t>{-1, -1}));
  const auto outputs = model_outputs(config);
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].shape, (std::vector<int64_t>{-1, 2, 2}));
  EXPECT_EQ(outputs[1].name, "OUT");
  EXPECT_EQ(client_metadata(config, "1").inputs[0].shape, (std::vector<int64_t>{-1, 1}));
}

}  // namespace
}  // namespace zeta::serving
