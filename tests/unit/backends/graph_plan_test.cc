#include "src/backends/torch/graph_plan.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace zeta::torch_backend {
namespace {

using Shapes = std::vector<std::vector<int64_t>>;
using serving::CudaGraphSpec;
using serving::DataType;
using serving::ModelSource;

ModelSource source(int64_t max_batch_size, std::vector<int64_t> dims, std::vector<CudaGraphSpec> specs = {}) {
  ModelSource made{.name = "m", .version = "1", .folder = "", .parameters = {}};
  made.max_batch_size = max_batch_size;
  std::vector<int64_t> shape = std::move(dims);
  if (max_batch_size > 0) shape.insert(shape.begin(), -1);
  made.inputs = {{"x", DataType::kFp32, shape}};
  made.outputs = {{"y", DataType::kFp32, shape}};
  made.cuda.graphs = true;
  made.cuda.graph_specs = std::move(specs);
  return made;
}

std::vector<Shapes> shapes_of(const ModelSource& from) {
  const auto plan = plan_graphs(from);
  EXPECT_TRUE(plan.ok()) << plan.status();
  std::vector<Shapes> shapes;
  for (const GraphShapes& graph : plan->graphs) shapes.push_back(graph.most);
  return shapes;
}

std::string refusal(const ModelSource& from) { return std::string(plan_graphs(from).status().message()); }

TEST(GraphPlan, ByItselfThePowersOfTwo) {
  EXPECT_EQ(shapes_of(source(6, {3})), (std::vector<Shapes>{{{1, 3}}, {{2, 3}}, {{4, 3}}}));
  EXPECT_EQ(shapes_of(source(1, {3})), (std::vector<Shapes>{{{1, 3}}}));
  EXPECT_EQ(shapes_of(source(0, {2, 3})), (std::vector<Shapes>{{{2, 3}}}));
}

TEST(GraphPlan, NoneWhereNoneIsAskedForOrPossible) {
  ModelSource off = source(4, {3});
  off.cuda.graphs = false;
  EXPECT_TRUE(shapes_of(off).empty());
  EXPECT_EQ(plan_graphs(source(4, {-1}))->why_none,
            "input 'x' has dims [-1]: say in graph_spec which of them to capture");
  ModelSource text = source(4, {3});
  text.outputs[0].datatype = DataType::kBytes;
  EXPECT_EQ(plan_graphs(text)->why_none, "tensor 'y' is of TYPE_STRING");
  EXPECT_TRUE(shapes_of(text).empty());
}

TEST(GraphPlan, SpecificationsTheSmallestFirst) {
  const ModelSource from =
      source(8, {-1}, {{.batch_size = 8, .inputs = {{"x", {5}}}}, {.batch_size = 2, .inputs = {{"x", {7}}}}});
  EXPECT_EQ(shapes_of(from), (std::vector<Shapes>{{{2, 7}}, {{8, 5}}}));
  EXPECT_EQ(shapes_of(source(8, {3}, {{.batch_size = 3}})), (std::vector<Shapes>{{{3, 3}}}));
}

TEST(GraphPlan, ALowerBoundIsWhatIsPadded) {
  CudaGraphSpec spec{.batch_size = 4};
  spec.lower_bound = CudaGraphSpec::LowerBound{2, {}};
  const auto plan = plan_graphs(source(8, {3}, {spec}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  const GraphShapes& graph = plan->graphs.at(0);
  EXPECT_FALSE(graph.takes({{1, 3}}));
  EXPECT_TRUE(graph.takes({{2, 3}}));
  EXPECT_TRUE(graph.takes({{4, 3}}));
  EXPECT_FALSE(graph.takes({{5, 3}}));
  EXPECT_FALSE(graph.takes({{3, 2}}));
  EXPECT_FALSE(graph.takes({{3}}));
  const GraphShapes exact = plan_graphs(source(8, {3}, {{.batch_size = 4}}))->graphs.at(0);
  EXPECT_FALSE(exact.takes({{3, 3}}));
}

TEST(GraphPlan, OtherDimsArePaddedWhereOutputsAreFixed) {
  CudaGraphSpec spec{.batch_size = 2, .inputs = {{"x", {8}}}};
  spec.lower_bound = CudaGraphSpec::LowerBound{2, {{"x", {5}}}};
  ModelSource from = source(4, {-1}, {spec});
  EXPECT_NE(refusal(from).find("output 'y' has dims [-1], which may depend on them"), std::string::npos)
      << refusal(from);
  from.outputs[0].shape = {-1, 3};
  const auto plan = plan_graphs(from);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->graphs[0].takes({{2, 6}}));
  EXPECT_FALSE(plan->graphs[0].takes({{2, 4}}));
}

TEST(GraphPlan, RefusesWhatContradictsTheModel) {
  const std::string start = "model 'm': optimization.cuda.";
  EXPECT_EQ(refusal(source(4, {3}, {{.batch_size = 5}})),
            start + "graph_spec.batch_size is 5, expected 1 to 4");
  EXPECT_EQ(refusal(source(4, {3}, {{.batch_size = 0}})),
            start + "graph_spec.batch_size is 0, expected 1 to 4");
  EXPECT_EQ(refusal(source(0, {3}, {{.batch_size = 1}})),
            start + "graph_spec.batch_size is 1, expected 0, since max_batch_size is 0");
  EXPECT_EQ(refusal(source(4, {3}, {{.batch_size = 1, .inputs = {{"z", {3}}}}})),
            start + "graph_spec names 'z', which is no input of the model");
  EXPECT_EQ(refusal(source(4, {3}, {{.batch_size = 1, .inputs = {{"x", {4}}}}})),
            start + "graph_spec.input 'x' has dims [4], but the model's are [3]");
  EXPECT_EQ(refusal(source(4, {-1}, {{.batch_size = 1}})),
            start + "graph_spec says no dims of input 'x', whose dims [-1] vary");
  CudaGraphSpec inverted{.batch_size = 2};
  inverted.lower_bound = CudaGraphSpec::LowerBound{3, {}};
  EXPECT_EQ(refusal(source(4, {3}, {inverted})),
            start + "graph_spec.graph_lower_bound is not below the graph's own sizes");
}

}  // namespace
}  // namespace zeta::torch_backend
