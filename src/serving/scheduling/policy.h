// How a model's requests are queued, batched and given to its instances: the scheduling part of a model's
// configuration, under the names of Triton's model_config.proto, in plain types.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/serving/backend.h"

namespace zeta::serving {

struct QueuePolicy {
  enum class TimeoutAction { kReject, kDelay };
  TimeoutAction timeout_action = TimeoutAction::kReject;
  std::chrono::microseconds default_timeout{0};  // 0: none
  bool allow_timeout_override = false;           // a request's `timeout` may shorten the default
  uint32_t max_queue_size = 0;                   // 0: no limit
};

struct DynamicBatching {
  std::vector<int64_t> preferred_batch_size{};
  std::chrono::microseconds max_queue_delay{0};
  bool preserve_ordering = false;
  uint64_t priority_levels = 0;  // 0: a request's `priority` means nothing; else 1 is the highest
  uint64_t default_priority_level = 0;
  QueuePolicy default_queue_policy{};
  std::map<uint64_t, QueuePolicy> priority_queue_policy{};
};

// What an instance needs to compute, where the server limits rates.
struct RateLimit {
  struct Need {
    std::string resource{};
    uint64_t count = 0;
    bool is_global = false;  // else of the instance's device
  };
  std::vector<Need> resources{};
  uint32_t priority = 1;  // 2 gets half as many executions as 1 where both wait
};

struct InstanceGroup {
  std::string name{};  // empty: the model's name and the group's number
  Placement::Kind kind = Placement::Kind::kCpu;
  int count = 1;            // for each GPU, where there are any
  std::vector<int> gpus{};  // of kGpu; empty: 0
  RateLimit rate_limit{};
};

// A tensor that the server makes from the shapes of a batch's requests.
struct BatchInputRule {
  enum class Kind {
    kElementCount,                     // [n]: elements of each request's source
    kAccumulatedElementCount,          // [n]: their running sum
    kAccumulatedElementCountWithZero,  // [n + 1]: with 0 before it
    kMaxElementCountAsShape,           // [largest count], its values mean nothing
    kItemShape,                        // [batch, rank − 1]: the shape of each item
    kItemShapeFlatten,                 // [batch × (rank − 1)]
  };
  Kind kind = Kind::kElementCount;
  std::string target{};
  DataType datatype = DataType::kFp32;  // FP32 or INT32
  std::string source{};                 // an input
};

// An output that is shared out by the shapes of `source`, not along dimension 0: each request gets as many
// elements as its source has, in that shape; one for each item where it did not give the source.
struct ScatteredOutput {
  std::string target{};
  std::string source{};
};

// A value that tells the model where in its sequence a request stands.
struct SequenceControl {
  enum class Kind { kStart, kEnd, kReady, kCorrelationId };
  Kind kind = Kind::kStart;
  std::string name{};
  DataType datatype = DataType::kFp32;
  double off = 0, on = 1;  // not of kCorrelationId
};

// A tensor that a model gives back and gets again with the next request of the sequence.
struct SequenceState {
  std::string input_name{}, output_name{};
  DataType datatype = DataType::kFp32;
  std::vector<int64_t> dims{};          // of one item
  std::string initial{};                // bytes; empty: zeros
  std::vector<int64_t> initial_dims{};  // where a sequence starts with other dims; empty: `dims`
};

struct SequenceBatching {
  enum class Strategy { kDirect, kOldest };
  Strategy strategy = Strategy::kDirect;
  std::chrono::microseconds max_sequence_idle{1'000'000};  // then the sequence is dropped
  // kDirect
  std::chrono::microseconds max_queue_delay{0};
  double minimum_slot_utilization = 0;  // share of the slots that is worth running before the delay is over
  // kOldest
  int64_t max_candidate_sequences = 0;  // at once, for each instance
  std::vector<int64_t> preferred_batch_size{};
  bool preserve_ordering = false;

  // Requests without sequence_id are sequences of their own, and a model may run a request again.
  bool iterative = false;

  std::vector<SequenceControl> controls{};
  std::vector<SequenceState> states{};
};

// A batch to run on each instance before the model is ready.
struct Warmup {
  std::string name{};
  uint32_t batch_size = 1;
  uint32_t count = 1;
  std::vector<Tensor> inputs{};  // without batch dimension; repeated batch_size times
};

struct SchedulingPolicy {
  int64_t max_batch_size = 0;
  bool decoupled = false;                             // the steps of an iterative sequence are answered, too
  std::optional<DynamicBatching> dynamic_batching{};  // absent: each request runs alone
  std::optional<SequenceBatching> sequence_batching{};  // excludes the former
  std::vector<InstanceGroup> instance_groups{};         // empty: one on the CPU
  std::set<std::string> ragged_inputs{};                // allow_ragged_batch: joined flat
  std::vector<BatchInputRule> batch_inputs{};
  std::vector<ScatteredOutput> batch_outputs{};
  // By tensor name, the shape without batch dimension that clients see where the model's differs (`reshape`).
  std::map<std::string, std::vector<int64_t>> client_dims{};
  std::vector<Warmup> warmup{};
};

// InvalidArgument when the policy contradicts itself; Triton's texts where it has one.
absl::Status check_policy(const std::string& model, const SchedulingPolicy& policy);

}  // namespace zeta::serving
