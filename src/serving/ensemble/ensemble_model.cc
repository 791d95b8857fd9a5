#include "src/serving/ensemble/ensemble_model.h"

#include <utility>

#include "src/serving/ensemble/ensemble_run.h"

namespace zeta::serving {
namespace {

std::shared_ptr<const EnsembleContext> make_context(EnsemblePlan plan, ModelMetadata metadata,
                                                    std::shared_ptr<const EnsembleMembers> members,
                                                    std::shared_ptr<Statistics> statistics) {
  auto context = std::make_shared<EnsembleContext>();
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    context->gates.push_back(std::make_unique<StepGate>(plan.max_inflight_requests));
  }
  context->plan = std::move(plan);
  context->metadata = std::move(metadata);
  context->members = std::move(members);
  context->statistics = std::move(statistics);
  return context;
}

}  // namespace

EnsembleModel::EnsembleModel(EnsemblePlan plan, ModelMetadata metadata,
                             std::shared_ptr<const EnsembleMembers> members,
                             std::shared_ptr<Statistics> statistics)
    : context_(
          make_context(std::move(plan), std::move(metadata), std::move(members), std::move(statistics))) {}

void EnsembleModel::infer(std::shared_ptr<const InferRequest> request, std::shared_ptr<ResponseSink> sink) {
  std::make_shared<EnsembleRun>(context_, std::move(request), std::move(sink))->start();
}

}  // namespace zeta::serving
