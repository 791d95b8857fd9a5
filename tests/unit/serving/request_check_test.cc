#include "src/serving/request_check.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

const ModelMetadata kModel{"m",
                           "1",
                           "",
                           {{"A", DataType::kFp32, {-1, 2}}, {"B", DataType::kBytes, {1}, true}},
                           {{"OUT", DataType::kFp32, {-1}}}};

constexpr char kId[] = "[request id: <id_unknown>] ";

InferRequest good_request() {
  InferRequest request;
  request.inputs = {{"A", DataType::kFp32, {1, 2}, make_buffer(std::string(8, '\0'))}};
  return request;
}

std::string refusal(const std::function<void(InferRequest&)>& change) {
  InferRequest request = good_request();
  change(request);
  return std::string(check_request(kModel, request).message());
}

TEST(RequestCheck, AcceptsAnyLengthOfAFreeDimensionAndLeavesOutOptionalInputs) {
  InferRequest request = good_request();
  EXPECT_TRUE(check_request(kModel, request).ok());
  request.inputs[0] = {"A", DataType::kFp32, {0, 2}, {}};
  request.inputs.push_back(bytes_tensor("B", {"x"}));
  EXPECT_TRUE(check_request(kModel, request).ok());
}

TEST(RequestCheck, SaysWhatDoesNotFit) {
  EXPECT_EQ(refusal([](auto& r) { r.inputs[0].name = "X"; }), "unexpected inference input 'X' for model 'm'");
  EXPECT_EQ(refusal([](auto& r) { r.inputs[0].datatype = DataType::kInt32; }),
            std::string(kId) + "inference input 'A' data-type is 'INT32', but model 'm' expects 'FP32'");
  EXPECT_EQ(refusal([](auto& r) {
              r.inputs[0].shape = {1, 3};
            }),
            std::string(kId) + "unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [1,3]. ");
  EXPECT_EQ(refusal([](auto& r) { r.inputs[0].shape = {2}; }),
            std::string(kId) + "unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [2]. ");
  EXPECT_EQ(refusal([](auto& r) {
              r.inputs[0].shape = {-1, 2};
            }),
            std::string(kId) + "input 'A': expected dimensions ≥ 0, got shape [-1,2]");
  EXPECT_EQ(refusal([](auto& r) {
              r.inputs[0].shape = {2, 2};
            }),
            std::string(kId) + "input byte size mismatch for input 'A' for model 'm'. Expected 16, got 8");
  EXPECT_EQ(refusal([](auto& r) { r.inputs.push_back(r.inputs[0]); }),
            "input 'A' is given twice for model 'm'");
  EXPECT_EQ(refusal([](auto& r) { r.inputs = {bytes_tensor("B", {"x"})}; }),
            std::string(kId) +
                "expected number of inputs between 1 and 2 but got 1 inputs for model 'm'. Got input(s) "
                "['B'], but missing required "
                "input(s) ['A']. Please provide all required input(s).");
  EXPECT_EQ(refusal([](auto& r) { r.requested_outputs = {"Y"}; }),
            "unexpected inference output 'Y' for model 'm'");
}

// A model of max_batch_size 4 whose inputs have dims [2] and, optional, [-1].
std::string batched_refusal(std::vector<Tensor> inputs) {
  ModelMetadata model{
      "m", "1", "", {{"A", DataType::kFp32, {-1, 2}}, {"B", DataType::kInt8, {-1, -1}, true}}, {}};
  model.max_batch_size = 4;
  InferRequest request;
  request.id = "7";
  for (Tensor& tensor : inputs) {
    const auto count = element_count(tensor.shape);
    const size_t size = tensor.datatype == DataType::kFp32 ? 4 : 1;
    if (count.ok()) tensor.data = make_buffer(std::string(static_cast<size_t>(*count) * size, '\0'));
    request.inputs.push_back(tensor);
  }
  return std::string(check_request(model, request).message());
}

TEST(RequestCheck, BatchesFollowMaxBatchSize) {
  const std::string note =
      ". NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be "
      "prepended to "
      "each input shape. If you want to specify the full shape including the batch dim in your input dims "
      "config, try "
      "setting max_batch_size to zero. See the model configuration docs for more info on max_batch_size.";
  const auto a = [](std::vector<int64_t> shape) {
    return Tensor{"A", DataType::kFp32, std::move(shape), {}};
  };
  const Tensor b{"B", DataType::kInt8, {2, 2}, {}};
  EXPECT_EQ(batched_refusal({a({4, 2})}), "");
  EXPECT_EQ(batched_refusal({a({2, 2}), b}), "");
  EXPECT_EQ(batched_refusal({a({5, 2})}),
            "[request id: 7] inference request batch-size must be <= 4 for 'm'");
  EXPECT_EQ(batched_refusal({a({0, 2})}),
            "[request id: 7] inference request batch-size must be >= 1 for 'm'");
  EXPECT_EQ(batched_refusal({a({})}),
            "[request id: 7] input 'A' has no shape but model requires batch dimension for 'm'");
  EXPECT_EQ(batched_refusal({a({1, 2}), b}),
            "[request id: 7] input 'B' batch size does not match other inputs for 'm'");
  EXPECT_EQ(batched_refusal({a({2})}),
            "[request id: 7] unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [2]" + note);
  EXPECT_EQ(
      batched_refusal({a({1, 3})}),
      "[request id: 7] unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [1,3]" + note);
}

}  // namespace
}  // namespace zeta::serving
