#include "src/serving/served_model.h"

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

#include "tests/unit/serving/collecting_sink.h"

namespace zeta::serving {
namespace {

// Does with a request whatever the test says.
class ScriptedModel final : public Model {
 public:
  using Script = std::function<void(ResponseSink&)>;
  explicit ScriptedModel(Script script) : script_(std::move(script)) {}
  const ModelMetadata& metadata() const override { return metadata_; }
  void infer(std::shared_ptr<const InferRequest>, std::shared_ptr<ResponseSink> sink) override {
    script_(*sink);
  }

 private:
  Script script_;
  ModelMetadata metadata_;
};

struct Outcome {
  explicit Outcome(ScriptedModel::Script script, InferRequest request = {})
      : model({"m", "1", "", {}, {}}, std::make_unique<ScriptedModel>(std::move(script)), 0) {
    const auto sink = std::make_shared<CollectingSink>();
    model.infer(std::make_shared<InferRequest>(std::move(request)), sink);
    responses = sink->wait();
  }
  ServedModel model;
  std::vector<InferResponse> responses;
};

InferResponse response(absl::Status status, bool final) { return {std::move(status), {}, {}, final}; }

TEST(ServedModel, CountsSuccess) {
  const Outcome run([](ResponseSink& sink) {
    sink.send(response(absl::OkStatus(), false));
    sink.send(response(absl::OkStatus(), true));
  });
  EXPECT_EQ(run.responses.size(), 2u);
  EXPECT_EQ(run.model.statistics().success.count, 1u);
  EXPECT_EQ(run.model.statistics().responses, 2u);
  EXPECT_EQ(run.model.statistics().in_flight, 0);
}

TEST(ServedModel, AnExceptionBecomesAResponse) {
  const Outcome run([](ResponseSink&) { throw std::runtime_error("out of weights"); });
  ASSERT_EQ(run.responses.size(), 1u);
  EXPECT_EQ(run.responses[0].status.message(), "model 'm' failed: out of weights");
  EXPECT_EQ(run.model.statistics().backend_failure, 1u);
}

TEST(ServedModel, NothingFollowsTheEnd) {
  const Outcome run([](ResponseSink& sink) {
    sink.send(response(absl::InternalError("x"), false));
    sink.send(response(absl::OkStatus(), true));
  });
  ASSERT_EQ(run.responses.size(), 1u);
  EXPECT_TRUE(run.responses[0].final);
  EXPECT_EQ(run.model.statistics().success.count, 0u);
}

TEST(ServedModel, CountsEveryPhaseOfARequestThatNothingSchedules) {
  const Outcome run([](ResponseSink& sink) { sink.send(response(absl::OkStatus(), true)); });
  const StatisticsSnapshot s = run.model.statistics();
  EXPECT_EQ((std::vector<uint64_t>{s.queue.count, s.compute_input.count, s.compute_infer.count,
                                   s.compute_output.count}),
            (std::vector<uint64_t>{1, 1, 1, 1}));
  EXPECT_EQ(s.queue.ns, 0u);
  EXPECT_EQ(s.compute_infer.ns, s.success.ns);
}

TEST(ServedModel, AnUnfitRequestDoesNotReachTheModel) {
  InferRequest request;
  request.requested_outputs = {"none"};
  const Outcome run([](ResponseSink&) { FAIL(); }, std::move(request));
  EXPECT_EQ(run.responses.at(0).status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(run.model.statistics().other_failure, 1u);
}

TEST(ServedModel, FailuresAreToldApart) {
  const auto counts = [](absl::Status status) {
    const Outcome run([&](ResponseSink& sink) { sink.send(response(status, true)); });
    const StatisticsSnapshot s = run.model.statistics();
    return std::vector<uint64_t>{s.rejected, s.canceled, s.backend_failure, s.other_failure};
  };
  EXPECT_EQ(counts(absl::ResourceExhaustedError("")), (std::vector<uint64_t>{1, 0, 0, 0}));
  EXPECT_EQ(counts(absl::CancelledError("")), (std::vector<uint64_t>{0, 1, 0, 0}));
  EXPECT_EQ(counts(absl::InternalError("")), (std::vector<uint64_t>{0, 0, 1, 0}));
  EXPECT_EQ(counts(absl::OutOfRangeError("")), (std::vector<uint64_t>{0, 0, 0, 1}));
}

}  // namespace
}  // namespace zeta::serving
