#include "src/serving/scheduling/policy.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace zeta::serving {
namespace {

std::string refusal(const std::function<void(SchedulingPolicy&)>& change) {
  SchedulingPolicy policy{.max_batch_size = 8, .dynamic_batching = DynamicBatching{}};
  EXPECT_TRUE(check_policy("m", policy).ok());
  change(policy);
  return std::string(check_policy("m", policy).message());
}

TEST(CheckPolicy, RefusesWhatContradictsItself) {
  using Policy = SchedulingPolicy;
  EXPECT_EQ(refusal([](Policy& p) { p.max_batch_size = -1; }),
            "'max_batch_size' must be non-negative value for m, got -1");
  EXPECT_EQ(refusal([](Policy& p) { p.max_batch_size = 0; }),
            "dynamic batching is not supported when max_batch_size is 0: m");
  EXPECT_EQ(refusal([](Policy& p) { p.sequence_batching.emplace(); }),
            "dynamic_batching and sequence_batching exclude each other for m");
  EXPECT_EQ(refusal([](Policy& p) {
              p.dynamic_batching->preferred_batch_size = {4, 0};
            }),
            "dynamic batching preferred size must be positive for m, got 0");
  EXPECT_EQ(refusal([](Policy& p) { p.dynamic_batching->preferred_batch_size = {9}; }),
            "dynamic batching preferred size must be <= max batch size for m, got 9 of at most 8");
  EXPECT_EQ(refusal([](Policy& p) { p.dynamic_batching->priority_levels = 2; }),
            "default priority level must be in range [1, 2] for m, got 0");
  EXPECT_EQ(refusal([](Policy& p) { p.dynamic_batching->default_priority_level = 2; }),
            "default_priority_level and priority_queue_policy need priority_levels for m");
  EXPECT_EQ(refusal([](Policy& p) {
              *p.dynamic_batching = {
                  .preserve_ordering = true, .priority_levels = 2, .default_priority_level = 1};
            }),
            "Only one priority level is allowed when 'preserve_ordering' is true for m");
  EXPECT_EQ(refusal([](Policy& p) {
              *p.dynamic_batching = {.priority_levels = 2, .default_priority_level = 1};
              p.dynamic_batching->priority_queue_policy[3] = {};
            }),
            "priority queue policy must have priority level in range [1, 2] for m, got 3");
  EXPECT_EQ(refusal([](Policy& p) { p.instance_groups = {{.name = "g", .count = 0}}; }),
            "instance group g of model m expects a count >= 1, got 0");
  EXPECT_EQ(refusal([](Policy& p) { p.instance_groups = {{.name = "g", .gpus = {0}}}; }),
            "instance group g of model m has kind KIND_CPU but specifies one or more GPUs");
  EXPECT_EQ(refusal([](Policy& p) { p.batch_inputs = {{.target = "t", .datatype = DataType::kInt64}}; }),
            "batch input 't' of model m must have data type TYPE_FP32 or TYPE_INT32");
}

}  // namespace
}  // namespace zeta::serving
