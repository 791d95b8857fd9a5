#include "src/serving/backend.h"

#include <memory>
#include <thread>

#include "src/backends/echo/batched_model.h"
#include "src/backends/echo/identity_model.h"
#include "src/backends/echo/settings.h"
#include "src/backends/echo/text_model.h"
#include "src/base/concat.h"

namespace zeta::echo {
namespace {

class EchoBackend final : public serving::Backend {
 public:
  absl::StatusOr<std::unique_ptr<serving::Model>> load(const serving::ModelSource& source) override {
    const auto settings = prepare(source);
    if (!settings.ok()) return settings.status();
    if (settings->kind == Settings::Kind::kCount) {
      return absl::InvalidArgumentError("a model of kind count needs max_batch_size > 0");
    }
    if (settings->kind == Settings::Kind::kText) return std::make_unique<TextModel>(*settings);
    return std::make_unique<IdentityModel>(*settings);
  }
  absl::StatusOr<std::unique_ptr<serving::Executable>> load_executable(
      const serving::ModelSource& source) override {
    if (source.max_batch_size == 0) return nullptr;
    const auto settings = prepare(source);
    if (!settings.ok()) return settings.status();
    const bool is_batched =
        settings->kind == Settings::Kind::kIdentity || settings->kind == Settings::Kind::kCount;
    if (!is_batched) return nullptr;
    return std::make_unique<BatchedModel>(*settings, source);
  }

 private:
  static absl::StatusOr<Settings> prepare(const serving::ModelSource& source) {
    if (!source.parameters.empty()) {
      return absl::InvalidArgumentError(
          concat("unknown setting '", source.parameters.begin()->first, "': the echo backend has none"));
    }
    auto settings = read_settings(source.folder, source.file);
    if (settings.ok()) std::this_thread::sleep_for(settings->load);
    return settings;
  }
};

}  // namespace
}  // namespace zeta::echo

zeta::serving::Backend* zeta_backend() { return new zeta::echo::EchoBackend; }
