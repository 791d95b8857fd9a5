// Gives back its input, once or several times.
#pragma once

#include <memory>

#include "src/backends/echo/settings.h"
#include "src/backends/echo/ticker.h"
#include "src/serving/backend.h"

namespace zeta::echo {

class IdentityModel final : public serving::Model {
 public:
  explicit IdentityModel(const Settings& settings);
  const serving::ModelMetadata& metadata() const override { return metadata_; }
  // Answers within the call when there is neither delay nor repetition.
  void infer(std::shared_ptr<const serving::InferRequest> request,
             std::shared_ptr<serving::ResponseSink> sink) override;

 private:
  const Settings settings_;
  serving::ModelMetadata metadata_;
  Ticker ticker_;
};

}  // namespace zeta::echo
