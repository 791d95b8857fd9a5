#include "src/serving/scheduling/batch_assembly.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/serving/scheduling/recording_executable.h"
#include "tests/unit/serving/scheduling/requests.h"

namespace zeta::serving {
namespace {

using Shape = std::vector<int64_t>;

ModelMetadata model(Shape input, Shape output) {
  ModelMetadata metadata;
  metadata.name = "m";
  metadata.inputs = {{"X", DataType::kFp32, std::move(input)}, {"O", DataType::kFp32, {-1, 1}, true}};
  metadata.outputs = {{"Y", DataType::kFp32, std::move(output)}};
  return metadata;
}

std::vector<PendingRequest> requests_of(const std::vector<Shape>& shapes) {
  std::vector<PendingRequest> requests;
  float value = 0;
  for (const Shape& shape : shapes) {
    auto request = std::make_shared<InferRequest>();
    size_t count = 1;
    for (const int64_t dimension : shape) count *= static_cast<size_t>(dimension);
    request->inputs = {floats("X", shape, std::vector<float>(count, ++value))};
    requests.push_back(pending(request, {}));
  }
  return requests;
}

TEST(BatchAssembly, CompatibilityIsThatOfShapesInputsAndParameters) {
  const BatchAssembly assembly({.max_batch_size = 8}, model({-1, -1}, {-1, 1}));
  const std::string plain = assembly.compatibility(*float_request(0, 1, 2));
  EXPECT_EQ(assembly.compatibility(*float_request(1, 3, 2)), plain) << "another batch size";
  EXPECT_NE(assembly.compatibility(*float_request(0, 1, 3)), plain) << "another shape";
  EXPECT_NE(assembly.compatibility(*float_request(0, 1, 2, {{"k", true}})), plain);
  EXPECT_NE(assembly.compatibility(*float_request(0, 1, 2, {{"k", true}})),
            assembly.compatibility(*float_request(0, 1, 2, {{"k", int64_t{1}}})));
  EXPECT_EQ(assembly.compatibility(*float_request(0, 1, 2, {{"priority", int64_t{1}}})), plain);
  auto more = float_request(0, 1, 2);
  more->inputs.push_back(floats("O", {1, 1}, {1}));
  EXPECT_NE(assembly.compatibility(*more), plain) << "an optional input";
}

TEST(BatchAssembly, CompatibilityTellsRaggedInputsApart) {
  ModelMetadata metadata = model({-1}, {-1, 1});
  metadata.inputs = {{"A", DataType::kFp32, {-1}, true}, {"B", DataType::kFp32, {-1}, true}};
  SchedulingPolicy policy{.max_batch_size = 8, .ragged_inputs = {"A", "B"}};
  policy.client_dims = {{"A", {-1}}, {"B", {-1}}};
  const BatchAssembly assembly(policy, metadata);
  InferRequest a, b;
  a.inputs = {floats("A", {1, 1}, {1})};
  b.inputs = {floats("B", {1, 1}, {1})};
  EXPECT_NE(assembly.compatibility(a), assembly.compatibility(b));
}

TEST(BatchAssembly, CompatibilityTellsParameterNamesApart) {
  const BatchAssembly assembly({.max_batch_size = 8}, model({-1, -1}, {-1, 1}));
  const auto two = float_request(0, 1, 2, {{"x", int64_t{1}}, {"y", int64_t{2}}});
  const auto one = float_request(0, 1, 2, {{"x=i1;y", int64_t{2}}});
  EXPECT_NE(assembly.compatibility(*two), assembly.compatibility(*one));
  const auto prefixed = float_request(0, 1, 2, {{"x=i1;1:y", int64_t{2}}});
  EXPECT_NE(assembly.compatibility(*two), assembly.compatibility(*prefixed));
}

TEST(BatchAssembly, CopiesNothing) {
  const BatchAssembly assembly({.max_batch_size = 8}, model({-1, 2}, {-1, 1}));
  const auto requests = requests_of({{1, 2}, {3, 2}});
  const Batch batch = assembly.assemble(requests);
  EXPECT_EQ(batch.size, 4);
  ASSERT_EQ(batch.inputs.size(), 1U) << "the optional input was not given";
  EXPECT_EQ(batch.inputs[0].shape, (Shape{4, 2}));
  EXPECT_EQ(batch.inputs[0].pieces[1].data, requests[1].request->inputs[0].data.data);
  const Tensor output = floats("Y", {4, 1}, {1, 2, 3, 4});
  const auto responses = assembly.share_out({output}, requests);
  ASSERT_TRUE(responses.ok());
  EXPECT_EQ(values_of((*responses)[1].outputs[0]), (std::vector<float>{2, 3, 4}));
  EXPECT_EQ((*responses)[1].outputs[0].data.data, output.data.data + sizeof(float));
}

TEST(BatchAssembly, SharesOutTexts) {
  const BatchAssembly assembly({.max_batch_size = 8}, model({-1, 1}, {-1, 2}));
  const auto requests = requests_of({{1, 1}, {2, 1}});
  Tensor output = bytes_tensor("Y", {"a", "", "ccc", "dd", "e", "f"});
  output.shape = {3, 2};
  const auto responses = assembly.share_out({output}, requests);
  ASSERT_TRUE(responses.ok()) << responses.status();
  const auto elements = bytes_elements((*responses)[1].outputs[0]);
  ASSERT_TRUE(elements.ok()) << elements.status();
  EXPECT_EQ(*elements, (std::vector<std::string_view>{"ccc", "dd", "e", "f"}));
}

TEST(BatchAssembly, ReshapesBothWays) {
  SchedulingPolicy policy{.max_batch_size = 8};
  policy.client_dims = {{"X", {1, -1}}, {"Y", {1, 1, -1}}};
  const BatchAssembly assembly(policy, model({-1, -1}, {-1, -1}));
  EXPECT_EQ(assembly.client_metadata().inputs[0].shape, (Shape{-1, 1, -1}));
  EXPECT_EQ(assembly.client_metadata().outputs[0].shape, (Shape{-1, 1, 1, -1}));
  const auto requests = requests_of({{2, 1, 3}});
  EXPECT_EQ(assembly.assemble(requests).inputs[0].shape, (Shape{2, 3}));
  const auto responses = assembly.share_out({floats("Y", {2, 2}, {1, 2, 3, 4})}, requests);
  ASSERT_TRUE(responses.ok());
  EXPECT_EQ((*responses)[0].outputs[0].shape, (Shape{2, 1, 1, 2}));
}

TEST(BatchAssembly, LeavesModelsWithoutBatchDimensionAlone) {
  const BatchAssembly assembly({}, model({2}, {3}));
  const auto requests = requests_of({{2}});
  EXPECT_EQ(assembly.assemble(requests).inputs[0].shape, Shape{2});
  const auto responses = assembly.share_out({floats("Y", {3}, {1, 2, 3})}, requests);
  EXPECT_EQ((*responses)[0].outputs[0].shape, Shape{3});
}

TEST(BatchAssembly, JoinsRaggedInputsFlat) {
  SchedulingPolicy policy{.max_batch_size = 8, .ragged_inputs = {"X"}};
  policy.client_dims = {{"X", {-1}}};
  policy.batch_outputs = {{"Y", "X"}};
  const BatchAssembly assembly(policy, model({-1}, {-1}));
  EXPECT_EQ(assembly.compatibility(*float_request(0, 1, 2)), assembly.compatibility(*float_request(0, 1, 3)));
  const auto requests = requests_of({{1, 3}, {1, 2}});
  const Batch batch = assembly.assemble(requests);
  EXPECT_EQ(batch.inputs[0].shape, Shape{5});
  EXPECT_EQ(joined_values(batch.inputs[0]), (std::vector<float>{1, 1, 1, 2, 2}));
  const auto responses = assembly.share_out({floats("Y", {5}, {1, 2, 3, 4, 5})}, requests);
  ASSERT_TRUE(responses.ok()) << responses.status();
  EXPECT_EQ((*responses)[1].outputs[0].shape, (Shape{1, 2}));
  EXPECT_EQ(values_of((*responses)[1].outputs[0]), (std::vector<float>{4, 5}));
}

TEST(BatchAssembly, SharesOutByItemsWhereTheSourceWasNotGiven) {
  SchedulingPolicy policy{.max_batch_size = 8};
  policy.batch_outputs = {{"Y", "O"}};
  const BatchAssembly assembly(policy, model({-1, 1}, {-1}));
  const auto requests = requests_of({{1, 1}, {2, 1}});
  const auto responses = assembly.share_out({floats("Y", {3}, {1, 2, 3})}, requests);
  ASSERT_TRUE(responses.ok()) << responses.status();
  EXPECT_EQ((*responses)[1].outputs[0].shape, Shape{2});
  EXPECT_EQ(values_of((*responses)[1].outputs[0]), (std::vector<float>{2, 3}));
}

TEST(BatchAssembly, MakesBatchInputsOfEveryKind) {
  using Kind = BatchInputRule::Kind;
  using Values = std::vector<float>;
  const auto requests = requests_of({{1, 3, 1}, {2, 2, 1}});
  const auto made = [&](Kind kind) {
    SchedulingPolicy policy{.max_batch_size = 8, .ragged_inputs = {"X"}};
    policy.batch_inputs = {{kind, "B", DataType::kFp32, "X"}};
    ModelMetadata metadata = model({-1}, {-1});
    metadata.inputs.push_back({"B", DataType::kFp32, {-1}});
    const BatchAssembly assembly(policy, metadata);
    EXPECT_EQ(assembly.client_metadata().inputs.size(), 2U) << "clients do not give B";
    BatchInput input = assembly.assemble(requests).inputs.back();
    EXPECT_EQ(input.name, "B");
    return std::pair(input.shape, joined_values(input));
  };
  EXPECT_EQ(made(Kind::kElementCount), std::pair(Shape{2}, Values{3, 4}));
  EXPECT_EQ(made(Kind::kAccumulatedElementCount), std::pair(Shape{2}, Values{3, 7}));
  EXPECT_EQ(made(Kind::kAccumulatedElementCountWithZero), std::pair(Shape{3}, Values{0, 3, 7}));
  EXPECT_EQ(made(Kind::kMaxElementCountAsShape), std::pair(Shape{4}, Values{0, 0, 0, 0}));
  EXPECT_EQ(made(Kind::kItemShape), std::pair(Shape{3, 2}, Values{3, 1, 2, 1, 2, 1}));
  EXPECT_EQ(made(Kind::kItemShapeFlatten), std::pair(Shape{6}, Values{3, 1, 2, 1, 2, 1}));
}

TEST(BatchAssembly, BatchInputsMayBeIntegers) {
  SchedulingPolicy policy{.max_batch_size = 8};
  policy.batch_inputs = {{BatchInputRule::Kind::kElementCount, "B", DataType::kInt32, "X"}};
  const BatchAssembly assembly(policy, model({-1, 2}, {-1, 1}));
  const BatchInput input = assembly.assemble(requests_of({{1, 2}})).inputs.back();
  EXPECT_EQ(input.datatype, DataType::kInt32);
  const std::string_view bytes(reinterpret_cast<const char*>(input.pieces[0].data), input.pieces[0].size);
  EXPECT_EQ(bytes, std::string_view("\2\0\0\0", 4));
}

}  // namespace
}  // namespace zeta::serving
