// A model that is made of others.
#pragma once

#include <memory>

#include "src/serving/backend.h"
#include "src/serving/ensemble/members.h"
#include "src/serving/ensemble/plan.h"
#include "src/serving/ensemble/step_gate.h"
#include "src/serving/statistics.h"

namespace zeta::serving {

// What the requests to an ensemble share; they may outlive the model.
struct EnsembleContext {
  EnsemblePlan plan;
  ModelMetadata metadata;
  std::shared_ptr<const EnsembleMembers> members;
  std::shared_ptr<Statistics> statistics;
  std::vector<std::unique_ptr<StepGate>> gates;  // of each step
};

// Steps run as soon as their inputs are there, side by side where they can; tensors go from member to member
// without a copy. A request finds its members when it comes and keeps them. What fails answers at once, with
// the member's status and "in ensemble 'NAME', " before its text.
class EnsembleModel final : public Model {
 public:
  // `statistics` get an execution for each successful request, with its members' times summed up.
  EnsembleModel(EnsemblePlan plan, ModelMetadata metadata, std::shared_ptr<const EnsembleMembers> members,
                std::shared_ptr<Statistics> statistics);
  const ModelMetadata& metadata() const override { return context_->metadata; }
  void infer(std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink) override;

 private:
  const std::shared_ptr<const EnsembleContext> context_;
};

}  // namespace zeta::serving
