// Every option of sequence_batching, with time that stands still: changing it changes what is batched.
#include "src/serving/scheduling/sequence_batcher.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "src/serving/scheduling/sequence_tensors.h"
#include "tests/unit/serving/scheduling/requests.h"

namespace zeta::serving {
namespace {

using std::chrono::microseconds;
using Strategy = SequenceBatching::Strategy;
using Kind = SequenceControl::Kind;

enum Flags { kNone = 0, kStart = 1, kEnd = 2 };

// What a batch's places hold: the request's value, and where each is filled, -1.
using Places = std::vector<float>;

class Sequences {
 public:
  // Without an id.
  absl::Status push_alone(float value) {
    last = float_request(value);
    PendingRequest waiting = pending(last, now_);
    std::vector<PendingRequest> late;
    return batcher_.push(waiting, now_, late);
  }
  // Tells which of the last batch's requests wait again.
  std::vector<bool> finish_but(std::vector<bool> again) {
    std::vector<InferResponse> responses(batch.size());
    return batcher_.executed(batch, &responses, again, now_);
  }

  explicit Sequences(SequenceBatching options = {}, int64_t max_batch_size = 4, size_t instances = 1)
      : batcher_({.max_batch_size = max_batch_size, .sequence_batching = std::move(options)}, "m",
                 instances) {}

  absl::Status push(Parameter id, int flags, float value, int64_t items = 1) {
    Parameters parameters{{"sequence_id", std::move(id)}};
    if (flags & kStart) parameters["sequence_start"] = true;
    if (flags & kEnd) parameters["sequence_end"] = true;
    last = float_request(value, items, 1, std::move(parameters));
    PendingRequest waiting = pending(last, now_);
    std::vector<PendingRequest> late;
    return batcher_.push(waiting, now_, late);
  }
  Places poll(size_t instance = 0) {
    Assignment next = batcher_.poll(instance, now_);
    wake = next.wake;
    dropped += next.dropped.size();
    batch = std::move(next.batch);
    Places places;
    for (const auto& place : batch) {
      places.push_back(place.is_padding ? -1 : values_of(place.request->inputs.front()).front());
    }
    return places;
  }
  // Polls, and answers at once.
  Places run(size_t instance = 0) {
    const Places places = poll(instance);
    finish();
    return places;
  }
  void finish(std::vector<InferResponse>* responses = nullptr) {
    batcher_.executed(batch, responses, {}, now_);
  }
  void pass(int64_t us) { now_ += microseconds(us); }
  // A control's value in each place of the last batch.
  Places control(const std::string& name) const {
    Places values;
    for (const auto& place : batch) {
      values.push_back(values_of(*find_tensor(place.request->inputs, name)).front());
    }
    return values;
  }
  SchedulerClock::time_point now() const { return now_; }

  std::vector<PendingRequest> batch;
  std::shared_ptr<InferRequest> last;
  std::optional<SchedulerClock::time_point> wake;
  size_t dropped = 0;

 private:
  SequenceBatcher batcher_;
  SchedulerClock::time_point now_{std::chrono::hours(1)};
};

SequenceBatching oldest(int64_t candidates, std::vector<int64_t> preferred = {}, int64_t delay_us = 0) {
  return {.strategy = Strategy::kOldest,
          .max_queue_delay = microseconds(delay_us),
          .max_candidate_sequences = candidates,
          .preferred_batch_size = std::move(preferred)};
}

TEST(SequenceBatcher, DirectKeepsPlaces) {
  SequenceBatching options;
  options.controls = {{Kind::kReady, "READY"}, {Kind::kStart, "START"}, {Kind::kEnd, "END"}};
  Sequences sequences(options);
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  ASSERT_TRUE(sequences.push(std::string("b"), kStart, 20).ok());
  ASSERT_TRUE(sequences.push(int64_t{1}, kNone, 11).ok());
  EXPECT_EQ(sequences.run(), (Places{10, 20})) << "one request of a sequence at a time";
  EXPECT_EQ(sequences.control("START"), (Places{1, 1}));
  EXPECT_EQ(sequences.run(), (Places{11}));
  ASSERT_TRUE(sequences.push(std::string("b"), kEnd, 21).ok());
  EXPECT_EQ(sequences.run(), (Places{-1, 21})) << "in its own place";
  EXPECT_EQ(sequences.control("READY"), (Places{0, 1}));
  EXPECT_EQ(sequences.control("START"), (Places{0, 0}));
  EXPECT_EQ(sequences.control("END"), (Places{0, 1}));
}

TEST(SequenceBatcher, ARequestWaitsForTheOneBefore) {
  Sequences sequences;
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  ASSERT_TRUE(sequences.push(int64_t{1}, kEnd, 11).ok());
  EXPECT_EQ(sequences.poll(), Places{10});
  const auto running = sequences.batch;
  EXPECT_EQ(sequences.poll(), Places{});
  sequences.batch = running;
  sequences.finish();
  EXPECT_EQ(sequences.run(), Places{11});
}

TEST(SequenceBatcher, SequencesBeyondTheSlotsWaitForAnEnd) {
  Sequences sequences({}, 1);
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  ASSERT_TRUE(sequences.push(int64_t{2}, kStart, 20).ok());
  EXPECT_EQ(sequences.run(), Places{10});
  EXPECT_EQ(sequences.run(), Places{});
  ASSERT_TRUE(sequences.push(int64_t{1}, kEnd, 11).ok());
  EXPECT_EQ(sequences.run(), Places{11});
  EXPECT_EQ(sequences.run(), Places{20});
}

TEST(SequenceBatcher, SequencesSpreadOverInstancesAndStayThere) {
  Sequences sequences({}, 4, 2);
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  ASSERT_TRUE(sequences.push(int64_t{2}, kStart, 20).ok());
  EXPECT_EQ(sequences.run(0), Places{10});
  EXPECT_EQ(sequences.run(1), Places{20});
  ASSERT_TRUE(sequences.push(int64_t{2}, kNone, 21).ok());
  EXPECT_EQ(sequences.run(0), Places{});
  EXPECT_EQ(sequences.run(1), Places{21});
}

TEST(SequenceBatcher, MaxSequenceIdleFreesTheSlot) {
  Sequences sequences({.max_sequence_idle = microseconds(100)}, 1);
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  ASSERT_TRUE(sequences.push(int64_t{2}, kStart, 20).ok());
  EXPECT_EQ(sequences.run(), Places{10});
  EXPECT_EQ(sequences.poll(), Places{});
  EXPECT_EQ(sequences.wake, sequences.now() + microseconds(100));
  sequences.pass(100);
  EXPECT_EQ(sequences.run(), Places{20});
  EXPECT_EQ(
      sequences.push(int64_t{1}, kNone, 11).message(),
      "inference request for sequence 1 to model 'm' must specify the START flag on the first request of "
      "the sequence");
}

TEST(SequenceBatcher, RefusesWhatIsNoSequence) {
  Sequences sequences;
  EXPECT_EQ(sequences.push(int64_t{0}, kStart, 0).message(),
            "inference request to model 'm' must specify a non-zero or non-empty correlation ID");
  EXPECT_EQ(sequences.push(true, kStart, 0).message(),
            "parameter 'sequence_id' must be an integer or a string");
  EXPECT_EQ(
      sequences.push(int64_t{1}, kStart, 0, 2).message(),
      "inference request to model 'm' must specify batch-size 1 due to requirements of sequence batcher");
  ASSERT_TRUE(sequences.push(int64_t{7}, kStart | kEnd, 0).ok());
  EXPECT_FALSE(sequences.push(int64_t{7}, kNone, 0).ok()) << "its end has come";
  EXPECT_FALSE(sequences.push(std::string("8"), kNone, 0).ok());
}

TEST(SequenceBatcher, MinimumSlotUtilizationIsWorthTheDelay) {
  for (const double utilization : {0.0, 0.5, 0.75}) {
    Sequences sequences({.max_queue_delay = microseconds(100), .minimum_slot_utilization = utilization});
    ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
    ASSERT_TRUE(sequences.push(int64_t{2}, kStart, 20).ok());
    EXPECT_EQ(sequences.run(), utilization <= 0.5 ? (Places{10, 20}) : Places{});
    if (utilization <= 0.5) continue;
    EXPECT_EQ(sequences.wake, sequences.now() + microseconds(100));
    sequences.pass(100);
    EXPECT_EQ(sequences.run(), (Places{10, 20}));
  }
}

TEST(SequenceBatcher, OldestTakesTheLongestWaiting) {
  Sequences sequences(oldest(8), 2);
  for (const int64_t id : {1, 2, 3}) {
    ASSERT_TRUE(sequences.push(id, kStart, static_cast<float>(10 * id)).ok());
    sequences.pass(1);
  }
  ASSERT_TRUE(sequences.push(int64_t{1}, kNone, 11).ok());
  EXPECT_EQ(sequences.run(), (Places{10, 20}));
  EXPECT_EQ(sequences.run(), (Places{30, 11})) << "no place is its own";
}

TEST(SequenceBatcher, MaxCandidateSequencesBoundsOldest) {
  for (const int64_t candidates : {1, 2}) {
    Sequences sequences(oldest(candidates), 4);
    ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
    ASSERT_TRUE(sequences.push(int64_t{2}, kStart, 20).ok());
    EXPECT_EQ(sequences.run().size(), static_cast<size_t>(candidates));
  }
}

TEST(SequenceBatcher, OldestWaitsForAPreferredSize) {
  Sequences sequences(oldest(8, {2}, 100));
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  EXPECT_EQ(sequences.poll(), Places{});
  EXPECT_EQ(sequences.wake, sequences.now() + microseconds(100));
  ASSERT_TRUE(sequences.push(int64_t{2}, kStart, 20).ok());
  ASSERT_TRUE(sequences.push(int64_t{3}, kStart, 30).ok());
  EXPECT_EQ(sequences.run(), (Places{10, 20}));
  EXPECT_EQ(sequences.run(), Places{});
  sequences.pass(100);
  EXPECT_EQ(sequences.run(), Places{30});
}

TEST(SequenceBatcher, StatesFollowTheirSequence) {
  SequenceBatching options = oldest(8);
  options.states = {{"IN", "OUT", DataType::kFp32, {1}, {}}};
  Sequences sequences(options);
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  ASSERT_TRUE(sequences.push(int64_t{2}, kStart, 20).ok());
  sequences.last->requested_outputs = {"Y"};
  sequences.poll();
  EXPECT_EQ(sequences.control("IN"), (Places{0, 0}));
  EXPECT_EQ(sequences.batch[1].request->requested_outputs, (std::vector<std::string>{"Y", "OUT"}));
  std::vector<InferResponse> responses(2);
  responses[0].outputs = {floats("Y", {1, 1}, {1}), floats("OUT", {1, 1}, {5})};
  responses[1].outputs = {floats("OUT", {1, 1}, {6}), floats("Y", {1, 1}, {1})};
  sequences.finish(&responses);
  EXPECT_EQ(responses[0].outputs.size(), 1U) << "clients do not get the state";
  ASSERT_TRUE(sequences.push(int64_t{2}, kNone, 21).ok());
  sequences.poll();
  EXPECT_EQ(sequences.control("IN"), Places{6});
  sequences.finish();
  ASSERT_TRUE(sequences.push(int64_t{2}, kNone, 22).ok());
  sequences.poll();
  EXPECT_EQ(sequences.control("IN"), Places{6}) << "a failure leaves it as it was";
  sequences.finish();
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 12).ok());
  sequences.poll();
  EXPECT_EQ(sequences.control("IN"), Places{0}) << "a start starts anew";
}

TEST(SequenceBatcher, StatesOfOtherShapesAreNotBatched) {
  SequenceBatching options;
  options.strategy = Strategy::kOldest;
  options.states = {{"IN", "OUT", DataType::kFp32, {-1}, {}}};
  Sequences sequences(options);
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  EXPECT_EQ(sequences.poll(), Places{10});
  std::vector<InferResponse> responses(1);
  responses[0].outputs = {floats("OUT", {1, 2}, {7, 8})};
  sequences.finish(&responses);
  sequences.pass(1);
  ASSERT_TRUE(sequences.push(int64_t{1}, kNone, 11).ok());
  sequences.pass(1);
  ASSERT_TRUE(sequences.push(int64_t{2}, kStart, 20).ok());
  EXPECT_EQ(sequences.run(), Places{11}) << "its state has two elements, that of a start one";
  EXPECT_EQ(sequences.run(), Places{20});
}

TEST(SequenceBatcher, StatesMayBeginWithData) {
  const float first = 3;
  SequenceBatching options;
  options.states = {
      {"IN", "OUT", DataType::kFp32, {1}, {reinterpret_cast<const char*>(&first), sizeof first}}};
  Sequences sequences(options);
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  sequences.poll();
  EXPECT_EQ(sequences.control("IN"), Places{3});
}

TEST(SequenceBatcher, CancelledRequestsAreDroppedAndTheSequenceGoesOn) {
  Sequences sequences;
  ASSERT_TRUE(sequences.push(int64_t{1}, kStart, 10).ok());
  ASSERT_TRUE(sequences.push(int64_t{1}, kNone, 11).ok());
  sequences.last->cancellation->cancel();
  ASSERT_TRUE(sequences.push(int64_t{1}, kNone, 12).ok());
  EXPECT_EQ(sequences.run(), Places{10});
  EXPECT_EQ(sequences.run(), Places{12});
  EXPECT_EQ(sequences.dropped, 1U);
}

TEST(ControlTensor, HoldsTheCorrelationIdInItsType) {
  const SequenceIdentity number{int64_t{7}}, text{std::string("abc")}, large{int64_t{1} << 40};
  const auto tensor = [](DataType type, const SequenceIdentity& id) {
    return control_tensor({Kind::kCorrelationId, "ID", type}, id, true, true);
  };
  EXPECT_EQ(tensor(DataType::kUint64, number)->shape, (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(tensor(DataType::kUint64, number)->data.size, 8U);
  EXPECT_EQ(tensor(DataType::kInt32, number)->data.size, 4U);
  EXPECT_EQ(bytes_elements(*tensor(DataType::kBytes, text))->front(), "abc");
  EXPECT_EQ(tensor(DataType::kInt32, large).status().message(),
            "control input 'ID' of type INT32 cannot hold the correlation ID 1099511627776");
  EXPECT_EQ(tensor(DataType::kUint64, text).status().message(),
            "control input 'ID' of type UINT64 cannot hold the correlation ID 'abc'");
  EXPECT_FALSE(tensor(DataType::kBytes, number).ok());
}

TEST(ControlTensor, OnAndOffAreTheConfigurations) {
  const auto value = [](DataType type, bool ready) {
    return *control_tensor({Kind::kReady, "R", type, -3, 4}, {int64_t{1}}, ready, false);
  };
  EXPECT_EQ(values_of(value(DataType::kFp32, true)), (Places{4}));
  EXPECT_EQ(values_of(value(DataType::kFp32, false)), (Places{-3}));
  EXPECT_EQ(value(DataType::kBool, true).data.size, 1U);
  EXPECT_EQ(value(DataType::kInt32, true).shape, (std::vector<int64_t>{1}));
}

SequenceBatching iterative(Strategy strategy = Strategy::kOldest) {
  return {
      .strategy = strategy, .iterative = true, .controls = {{Kind::kStart, "START", DataType::kFp32, 0, 1}}};
}

TEST(SequenceBatcher, IterativeRequestsNeedNoSequence) {
  Sequences plain;
  EXPECT_FALSE(plain.push_alone(1).ok());
  Sequences sequences(iterative());
  ASSERT_TRUE(sequences.push_alone(1).ok());
  ASSERT_TRUE(sequences.push_alone(2).ok());
  EXPECT_EQ(sequences.poll(), (Places{1, 2}));
  EXPECT_EQ(sequences.control("START"), (Places{1, 1}));
}

TEST(SequenceBatcher, IterativeRequestsRunAgainInTheNextBatch) {
  for (const Strategy strategy : {Strategy::kOldest, Strategy::kDirect}) {
    Sequences sequences(iterative(strategy));
    ASSERT_TRUE(sequences.push_alone(1).ok());
    ASSERT_TRUE(sequences.push_alone(2).ok());
    EXPECT_EQ(sequences.poll(), (Places{1, 2}));
    EXPECT_EQ(sequences.finish_but({false, true}), (std::vector<bool>{false, true}));
    sequences.pass(1);
    ASSERT_TRUE(sequences.push_alone(3).ok());
    const Places second = strategy == Strategy::kOldest ? Places{2, 3} : Places{3, 2};
    EXPECT_EQ(sequences.poll(), second);
    const Places start = strategy == Strategy::kOldest ? Places{0, 1} : Places{1, 0};
    EXPECT_EQ(sequences.control("START"), start) << "a sequence starts once";
    sequences.finish_but({});
    EXPECT_EQ(sequences.poll(), Places{});
  }
}

TEST(SequenceBatcher, OnlyIterativeRequestsRunAgain) {
  SequenceBatching plain = iterative();
  plain.iterative = false;
  Sequences sequences(plain);
  ASSERT_TRUE(sequences.push(1, kStart, 5).ok());
  sequences.poll();
  EXPECT_EQ(sequences.finish_but({true}), std::vector<bool>{false});
  EXPECT_EQ(sequences.poll(), Places{});
}

TEST(SequenceBatcher, AnIterativeRequestThatIsCancelledLeavesItsSlot) {
  Sequences sequences(iterative(Strategy::kDirect), 1);
  ASSERT_TRUE(sequences.push_alone(1).ok());
  const auto first = sequences.last;
  ASSERT_TRUE(sequences.push_alone(2).ok());
  EXPECT_EQ(sequences.poll(), Places{1});
  sequences.finish_but({true});
  first->cancellation->cancel();
  EXPECT_EQ(sequences.poll(), Places{2});
  EXPECT_EQ(sequences.dropped, 1U);
}

}  // namespace
}  // namespace zeta::serving
