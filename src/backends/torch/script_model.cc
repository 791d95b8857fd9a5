#include "src/backends/torch/script_model.h"

#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "src/backends/torch/execution.h"
#include "src/backends/torch/results.h"
#include "src/backends/torch/signature.h"
#include "src/backends/torch/tensors.h"

namespace zeta::torch_backend {
namespace {

bool holds_tensors(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::TensorType:
    case c10::TypeKind::AnyType:
    case c10::TypeKind::ClassType:
    case c10::TypeKind::InterfaceType:
      return true;
    default:
      return std::ranges::any_of(type.containedTypes(),
                                 [](const auto& part) { return holds_tensors(*part); });
  }
}

// Whether it has tensors besides its parameters. It may return one of these and write to it in its next run,
// while the response is still being sent.
bool is_stateful(const torch::jit::Module& module) {
  for (const torch::jit::Module& part : module.modules()) {
    const auto type = part.type();
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const auto attribute = type->getAttribute(i);
      if (!type->is_parameter(i) && !attribute->is_module() && holds_tensors(*attribute)) return true;
    }
  }
  return false;
}

class ScriptInstance final : public serving::Instance {
 public:
  ScriptInstance(std::shared_ptr<torch::jit::Module> module, at::Device device, Signature signature,
                 Results results, const Settings& settings)
      : module_(std::move(module)),
        is_stateful_(is_stateful(*module_)),
        device_(device),
        signature_(std::move(signature)),
        results_(std::move(results)),
        settings_(settings) {}

  absl::StatusOr<serving::BatchResult> execute(const serving::Batch& batch) override {
    return guarded([&] { return run(batch); });
  }

 private:
  absl::StatusOr<serving::BatchResult> run(const serving::Batch& batch) {
    const ExecutionMode mode(settings_);
    auto arguments = signature_.arguments(batch, device_);
    if (!arguments.ok()) return arguments.status();
    serving::BatchResult result;
    result.inputs_ready = std::chrono::steady_clock::now();
    const c10::IValue value = module_->forward(*std::move(arguments));
    finish(device_, false);
    result.computed = std::chrono::steady_clock::now();
    auto outputs = results_.read(value, batch.outputs, is_stateful_);
    if (settings_.enable_cache_cleaning) finish(device_, true);
    if (!outputs.ok()) return outputs.status();
    result.outputs = *std::move(outputs);
    return result;
  }

  const std::shared_ptr<torch::jit::Module> module_;
  const bool is_stateful_;
  const at::Device device_;
  const Signature signature_;
  const Results results_;
  const Settings settings_;
};

class ScriptExecutable final : public serving::Executable {
 public:
  ScriptExecutable(std::string path, const Settings& settings, serving::ModelMetadata metadata,
                   std::shared_ptr<torch::jit::Module> first, Signature signature, Results results)
      : path_(std::move(path)),
        settings_(settings),
        metadata_(std::move(metadata)),
        signature_(std::move(signature)),
        results_(std::move(results)),
        first_(std::move(first)) {}

  const serving::ModelMetadata& metadata() const override { return metadata_; }

  absl::StatusOr<std::unique_ptr<serving::Instance>> make_instance(
      const serving::Placement& placement) override {
    apply_to_thread(settings_);
    const auto device = device_of(placement);
    if (!device.ok()) return device.status();
    return std::make_unique<ScriptInstance>(module_for(*device), *device, signature_, results_, settings_);
  }

  std::vector<serving::MetricSample> metrics() const override {
    const std::lock_guard lock(mutex_);
    return {{"zeta_torch_weight_copies", "Copies of the model's weights in memory",
             serving::MetricSample::Kind::kGauge, static_cast<double>(copies_)}};
  }

 private:
  std::shared_ptr<torch::jit::Module> module_for(const at::Device& device) {
    const std::lock_guard lock(mutex_);
    if (settings_.enable_weight_sharing) {
      if (const auto shared = shared_[device.str()].lock()) return shared;
    }
    ++copies_;
    // The copy that the signature was read from serves the first instance on the CPU.
    auto module = device.is_cpu() ? std::exchange(first_, nullptr) : nullptr;
    if (!module) module = std::make_shared<torch::jit::Module>(torch::jit::load(path_, device));
    first_.reset();
    module->eval();
    shared_[device.str()] = module;
    return module;
  }

  const HeapTrim trim_;
  const std::string path_;
  const Settings settings_;
  const serving::ModelMetadata metadata_;
  const Signature signature_;
  const Results results_;

  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<torch::jit::Module> first_;
  std::map<std::string, std::weak_ptr<torch::jit::Module>> shared_;
  int copies_ = 0;
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
    return std::make_unique<ScriptExecutable>(path, settings, std::move(metadata), std::move(module),
                                              *std::move(signature), *std::move(results));
  });
}

}  // namespace zeta::torch_backend
