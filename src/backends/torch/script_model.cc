#include "src/backends/torch/script_model.h"

#include <c10/core/StreamGuard.h>
#include <torch/csrc/jit/serialization/import.h>

#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "src/backends/torch/execution.h"
#include "src/backends/torch/instance.h"
#include "src/backends/torch/script_state.h"
#include "src/backends/torch/signature.h"
#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

class ScriptForward final : public Forward {
 public:
  // `keeps_state`: trial runs will be made.
  ScriptForward(std::shared_ptr<torch::jit::Module> module, const Signature& signature, bool keeps_state)
      : module_(std::move(module)), signature_(signature), is_stateful_(has_state(*module_)) {
    if (keeps_state) state_.emplace(*module_);
  }

  c10::IValue run(std::vector<c10::IValue> inputs) override {
    return module_->forward(signature_.arguments(std::move(inputs)));
  }
  bool is_stateful() const override { return is_stateful_; }
  bool needs_all_inputs() const override { return false; }  // arguments have defaults
  std::string why_not_recorded() const override {
    if (!state_ || state_->unknown().empty()) return "";
    return concat("its attribute '", state_->unknown(), "' may hold state that cannot be set back");
  }
  void restore(bool) override {
    if (state_) state_->restore();
    state_.reset();
  }

 private:
  const std::shared_ptr<torch::jit::Module> module_;
  const Signature& signature_;
  const bool is_stateful_;
  std::optional<ScriptState> state_;
};

class ScriptExecutable final : public serving::Executable {
 public:
  ScriptExecutable(std::string path, serving::ModelMetadata metadata,
                   std::shared_ptr<torch::jit::Module> first, Signature signature,
                   std::unique_ptr<Shared> shared)
      : path_(std::move(path)),
        metadata_(std::move(metadata)),
        signature_(std::move(signature)),
        shared_(std::move(shared)),
        first_(std::move(first)) {}

  const serving::ModelMetadata& metadata() const override { return metadata_; }
  std::vector<serving::MetricSample> metrics() const override { return shared_->metrics(); }
  std::string notice() const override { return shared_->notice(); }

  absl::StatusOr<std::unique_ptr<serving::Instance>> make_instance(
      const serving::Placement& placement) override {
    apply_to_thread(shared_->settings);
    auto place = make_place(placement, shared_->source.cuda);
    if (!place.ok()) return place.status();
    const bool as_saved = placement.kind == serving::Placement::Kind::kModel;
    const bool keeps_state = shared_->source.cuda.graphs && place->compute != nullptr;
    const ExecutionMode mode(shared_->settings);
    std::optional<c10::StreamGuard> on;
    if (place->compute != nullptr) on.emplace(place->compute->stream());
    auto forward =
        std::make_unique<ScriptForward>(module_for(place->device, as_saved), signature_, keeps_state);
    if (place->compute != nullptr) place->compute->wait();  // others may share the weights
    return std::make_unique<TorchInstance>(placement.name, *std::move(place), std::move(forward), *shared_);
  }

 private:
  std::shared_ptr<torch::jit::Module> module_for(const at::Device& device, bool as_saved) {
    const std::lock_guard lock(mutex_);
    const std::string key = as_saved ? "as saved" : device.str();
    if (shared_->settings.enable_weight_sharing) {
      if (const auto shared = loaded_[key].lock()) return shared;
    }
    ++shared_->weight_copies;
    // The copy that the signature was read from serves the first instance on the CPU.
    auto module = device.is_cpu() && !as_saved ? std::exchange(first_, nullptr) : nullptr;
    if (!module) {
      const auto where = as_saved ? std::nullopt : std::optional(device);
      module = std::make_shared<torch::jit::Module>(torch::jit::load(path_, where));
    }
    first_.reset();
    module->eval();
    loaded_[key] = module;
    return module;
  }

  const MemoryTrim trim_;
  const std::string path_;
  const serving::ModelMetadata metadata_;
  const Signature signature_;
  const std::unique_ptr<Shared> shared_;

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<torch::jit::Module> first_;
  std::map<std::string, std::weak_ptr<torch::jit::Module>> loaded_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<serving::Executable>> load_script(const std::string& path,
                                                                 const serving::ModelSource& source,
                                                                 const Settings& settings,
                                                                 serving::ModelMetadata metadata) {
  return guarded_load(path, [&]() -> absl::StatusOr<std::unique_ptr<serving::Executable>> {
    auto module = std::make_shared<torch::jit::Module>(torch::jit::load(path, at::kCPU));
    auto signature = Signature::match(*module, source.inputs);
    if (!signature.ok()) return signature.status();
    auto results = Results::match(source.outputs, {}, source.outputs.size());
    if (!results.ok()) return results.status();
    auto plan = plan_graphs(source);
    if (!plan.ok()) return plan.status();
    auto shared = std::make_unique<Shared>(source, settings, *std::move(results), *std::move(plan));
    shared->add_notice(metadata.notice);
    return std::make_unique<ScriptExecutable>(path, std::move(metadata), std::move(module),
                                              *std::move(signature), std::move(shared));
  });
}

}  // namespace zeta::torch_backend
