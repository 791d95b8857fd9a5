#include "src/backends/torch/package_model.h"

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "src/backends/torch/call_spec.h"
#include "src/backends/torch/execution.h"
#include "src/backends/torch/naming.h"
#include "src/backends/torch/results.h"
#include "src/backends/torch/signature.h"
#include "src/backends/torch/tensors.h"
#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

using torch::inductor::AOTIModelPackageLoader;

constexpr size_t kSharedRunners = 16;  // instances that can run at once on one copy of the weights

std::shared_ptr<AOTIModelPackageLoader> open(const std::string& path, size_t runners,
                                             const at::Device& device) {
  return std::make_shared<AOTIModelPackageLoader>(path, "model", /*run_single_threaded=*/false, runners,
                                                  device.is_cuda() ? device.index() : c10::DeviceIndex(-1));
}

// Where each input of the package comes from.
struct PackageInputs {
  std::vector<serving::TensorMetadata> inputs;
  std::vector<size_t> positions;
};

class PackageInstance final : public serving::Instance {
 public:
  PackageInstance(std::shared_ptr<AOTIModelPackageLoader> package, at::Device device, PackageInputs inputs,
                  Results results, const Settings& settings)
      : package_(std::move(package)),
        device_(device),
        inputs_(std::move(inputs)),
        results_(std::move(results)),
        settings_(settings) {}

  absl::StatusOr<serving::BatchResult> execute(const serving::Batch& batch) override {
    return guarded([&] { return run(batch); });
  }

 private:
  absl::StatusOr<std::vector<at::Tensor>> tensors_of(const serving::Batch& batch) const {
    std::vector<at::Tensor> tensors(inputs_.inputs.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const serving::TensorMetadata& input = inputs_.inputs[i];
      const auto given = std::ranges::find(batch.inputs, input.name, &serving::BatchInput::name);
      if (given == batch.inputs.end()) {
        return absl::InvalidArgumentError(concat("input '", input.name, "' is missing"));
      }
      if (absl::Status status = check_shape(input, *given); !status.ok()) return status;
      auto tensor = to_tensor(*given, device_);
      if (!tensor.ok()) return tensor.status();
      tensors[inputs_.positions[i]] = *std::move(tensor);
    }
    return tensors;
  }

  absl::StatusOr<serving::BatchResult> run(const serving::Batch& batch) {
    const ExecutionMode mode(settings_);
    auto tensors = tensors_of(batch);
    if (!tensors.ok()) return tensors.status();
    serving::BatchResult result;
    result.inputs_ready = std::chrono::steady_clock::now();
    const c10::IValue value(package_->boxed_run(*std::move(tensors)));
    finish(device_, false);
    result.computed = std::chrono::steady_clock::now();
    auto outputs = results_.read(value, batch.outputs, /*copies=*/false);
    if (settings_.enable_cache_cleaning) finish(device_, true);
    if (!outputs.ok()) return outputs.status();
    result.outputs = *std::move(outputs);
    return result;
  }

  const std::shared_ptr<AOTIModelPackageLoader> package_;
  const at::Device device_;
  const PackageInputs inputs_;
  const Results results_;
  const Settings settings_;
};

class PackageExecutable final : public serving::Executable {
 public:
  PackageExecutable(std::string path, std::string device, const Settings& settings,
                    serving::ModelMetadata metadata, std::shared_ptr<AOTIModelPackageLoader> first,
                    PackageInputs inputs, Results results)
      : path_(std::move(path)),
        device_(std::move(device)),
        settings_(settings),
        metadata_(std::move(metadata)),
        inputs_(std::move(inputs)),
        results_(std::move(results)),
        first_(std::move(first)) {}

  const serving::ModelMetadata& metadata() const override { return metadata_; }

  absl::StatusOr<std::unique_ptr<serving::Instance>> make_instance(
      const serving::Placement& placement) override {
    apply_to_thread(settings_);
    const auto device = device_of(placement);
    if (!device.ok()) return device.status();
    const std::string wanted = device->is_cuda() ? "cuda" : "cpu";
    if (!device_.empty() && device_ != wanted) {
      return absl::InvalidArgumentError(concat("instance ", placement.name, " is on ", wanted,
                                               ", but the package was compiled for ", device_));
    }
    return std::make_unique<PackageInstance>(package_for(*device), *device, inputs_, results_, settings_);
  }

  std::vector<serving::MetricSample> metrics() const override {
    const std::lock_guard lock(mutex_);
    return {{"zeta_torch_weight_copies", "Copies of the model's weights in memory",
             serving::MetricSample::Kind::kGauge, static_cast<double>(copies_)}};
  }

 private:
  std::shared_ptr<AOTIModelPackageLoader> package_for(const at::Device& device) {
    const std::lock_guard lock(mutex_);
    const bool shares = settings_.enable_weight_sharing;
    if (shares) {
      if (const auto shared = shared_[device.str()].lock()) return shared;
    }
    ++copies_;
    auto package = device.is_cpu() && !shares ? std::exchange(first_, nullptr) : nullptr;
    first_.reset();
    if (!package) package = open(path_, shares ? kSharedRunners : 1, device);
    shared_[device.str()] = package;
    return package;
  }

  const HeapTrim trim_;
  const std::string path_, device_;
  const Settings settings_;
  const serving::ModelMetadata metadata_;
  const PackageInputs inputs_;
  const Results results_;

  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<AOTIModelPackageLoader> first_;
  std::map<std::string, std::weak_ptr<AOTIModelPackageLoader>> shared_;
  int copies_ = 0;
};

std::string device_key(AOTIModelPackageLoader& package) {
  const auto metadata = package.get_metadata();
  const auto found = metadata.find("AOTI_DEVICE_KEY");
  return found == metadata.end() ? "" : found->second;
}

absl::StatusOr<PackageInputs> match_inputs(const std::vector<serving::TensorMetadata>& inputs,
                                           const std::vector<std::string>& names) {
  auto positions = positions_of(inputs, names, names.size());
  if (!positions.ok()) return positions.status();
  if (inputs.size() == names.size()) return PackageInputs{inputs, *std::move(positions)};
  return absl::InvalidArgumentError(
      concat("the configuration has ", inputs.size(), " inputs, but the package takes ", names.size()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<serving::Executable>> load_package(const std::string& path,
                                                                  const serving::ModelSource& source,
                                                                  const Settings& settings,
                                                                  serving::ModelMetadata metadata) {
  return guarded_load(path, [&]() -> absl::StatusOr<std::unique_ptr<serving::Executable>> {
    auto package = open(path, 1, at::kCPU);
    const std::vector<std::string> spec = package->get_call_spec();
    if (spec.size() != 2) return absl::InvalidArgumentError(concat(path, " has no call spec"));
    const auto names = input_names(spec[0]);
    if (!names.ok()) return names.status();
    const auto result_names = output_names(spec[1]);
    if (!result_names.ok()) return result_names.status();
    auto inputs = match_inputs(source.inputs, *names);
    if (!inputs.ok()) return inputs.status();
    auto results = Results::match(source.outputs, *result_names, result_names->size());
    if (!results.ok()) return results.status();
    std::string device = device_key(*package);
    return std::make_unique<PackageExecutable>(path, std::move(device), settings, std::move(metadata),
                                               std::move(package), *std::move(inputs), *std::move(results));
  });
}

}  // namespace zeta::torch_backend
