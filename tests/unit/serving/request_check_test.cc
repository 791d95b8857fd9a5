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
            "inference input 'A' data-type is 'INT32', but model 'm' expects 'FP32'");
  EXPECT_EQ(refusal([](auto& r) {
              r.inputs[0].shape = {1, 3};
            }),
            "unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [1,3]");
  EXPECT_EQ(refusal([](auto& r) { r.inputs[0].shape = {2}; }),
            "unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [2]");
  EXPECT_EQ(refusal([](auto& r) {
              r.inputs[0].shape = {-1, 2};
            }),
            "input 'A': expected dimensions ≥ 0, got shape [-1,2]");
  EXPECT_EQ(refusal([](auto& r) {
              r.inputs[0].shape = {2, 2};
            }),
            "input byte size mismatch for input 'A' for model 'm'. Expected 16, got 8");
  EXPECT_EQ(refusal([](auto& r) { r.inputs.push_back(r.inputs[0]); }),
            "input 'A' is given twice for model 'm'");
  EXPECT_EQ(refusal([](auto& r) { r.inputs = {bytes_tensor("B", {"x"})}; }),
            "expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['B'], but missing required "
            "input(s) ['A']. Please provide all required input(s).");
  EXPECT_EQ(refusal([](auto& r) { r.requested_outputs = {"Y"}; }),
            "unexpected inference output 'Y' for model 'm'");
}

}  // namespace
}  // namespace zeta::serving
