#include "src/serving/backend.h"

#include <memory>
#include <thread>

#include "src/backends/echo/identity_model.h"
#include "src/backends/echo/settings.h"
#include "src/backends/echo/text_model.h"
#include "src/base/concat.h"

namespace zeta::echo {
namespace {

class EchoBackend final : public serving::Backend {
 public:
  absl::StatusOr<std::unique_ptr<serving::Model>> load(const serving::ModelSource& source) override {
    if (!source.parameters.empty()) {
      return absl::InvalidArgumentError(
          concat("unknown setting '", source.parameters.begin()->first, "': the echo backend has none"));
    }
    const auto settings = read_settings(source.folder, source.file);
    if (!settings.ok()) return settings.status();
    std::this_thread::sleep_for(settings->load);
    if (settings->kind == Settings::Kind::kText) return std::make_unique<TextModel>(*settings);
    return std::make_unique<IdentityModel>(*settings);
  }
};

}  // namespace
}  // namespace zeta::echo

zeta::serving::Backend* zeta_backend() { return new zeta::echo::EchoBackend; }
