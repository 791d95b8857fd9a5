#include "src/backends/torch/package_model.h"

#include <c10/core/StreamGuard.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "src/backends/torch/call_spec.h"
#include "src/backends/torch/execution.h"
#include "src/backends/torch/instance.h"
#include "src/backends/torch/naming.h"
#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

using torch::inductor::AOTIModelPackageLoader;

constexpr size_t kSharedRunners = 16;  // instances that can run at once on one copy of the weights

using Loader = std::shared_ptr<AOTIModelPackageLoader>;

// `for_capture`: without the locks and events that guard several threads, and cannot be recorded.
Loader open(const std::string& path, size_t runners, const at::Device& device, bool for_capture) {
  return std::make_shared<AOTIModelPackageLoader>(path, "model", for_capture, runners,
                                                  device.is_cuda() ? device.index() : c10::DeviceIndex(-1));
}

class PackageForward final : public Forward {
 public:
  // `positions`: where among the package's inputs each of the configuration's goes.
  PackageForward(Loader package, std::function<Loader()> reopen, const std::vector<size_t>& positions,
                 std::string why_not_recorded)
      : package_(std::move(package)),
        reopen_(std::move(reopen)),
        positions_(positions),
        why_not_recorded_(std::move(why_not_recorded)) {}

  c10::IValue run(std::vector<c10::IValue> inputs) override {
    std::vector<at::Tensor> tensors(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      tensors[positions_[i]] = std::move(inputs[i]).toTensor();
    }
    return c10::IValue(package_->boxed_run(std::move(tensors)));
  }
  bool needs_all_inputs() const override { return true; }
  std::string why_not_recorded() const override { return why_not_recorded_; }
  void restore(bool recorded) override {
    if (!recorded) package_ = reopen_();
  }

 private:
  Loader package_;
  const std::function<Loader()> reopen_;
  const std::vector<size_t>& positions_;
  const std::string why_not_recorded_;
};

class PackageExecutable final : public serving::Executable {
 public:
  PackageExecutable(std::string path, std::string device, serving::ModelMetadata metadata, Loader first,
                    std::vector<size_t> positions, std::unique_ptr<Shared> shared)
      : path_(std::move(path)),
        device_(std::move(device)),
        metadata_(std::move(metadata)),
        positions_(std::move(positions)),
        shared_(std::move(shared)),
        first_(std::move(first)) {}

  const serving::ModelMetadata& metadata() const override { return metadata_; }
  std::vector<serving::MetricSample> metrics() const override { return shared_->metrics(); }
  std::string notice() const override { return shared_->notice(); }

  absl::StatusOr<std::unique_ptr<serving::Instance>> make_instance(const serving::Placement& given) override {
    apply_to_thread(shared_->settings);
    serving::Placement placement = given;
    if (given.kind == serving::Placement::Kind::kModel && device_ == "cuda") {
      placement.kind = serving::Placement::Kind::kGpu;
      placement.device = 0;
    }
    auto place = make_place(placement, shared_->source.cuda);
    if (!place.ok()) return place.status();
    const at::Device device = place->device;
    const std::string wanted = device.is_cuda() ? "cuda" : "cpu";
    if (!device_.empty() && device_ != wanted) {
      return absl::InvalidArgumentError(concat("instance ", placement.name, " is on ", wanted,
                                               ", but the package was compiled for ", device_));
    }
    const bool shares = shared_->settings.enable_weight_sharing;
    const bool captures = shared_->source.cuda.graphs && device.is_cuda() && !shares;
    const ExecutionMode mode(shared_->settings);
    std::optional<c10::StreamGuard> on;
    if (place->compute != nullptr) on.emplace(place->compute->stream());
    auto forward = std::make_unique<PackageForward>(
        package_for(device, captures), [this, device, captures] { return open(path_, 1, device, captures); },
        positions_, shares ? "ENABLE_WEIGHT_SHARING lets several threads run the package" : "");
    if (place->compute != nullptr) place->compute->wait();  // others may share the weights
    return std::make_unique<TorchInstance>(placement.name, *std::move(place), std::move(forward), *shared_);
  }

 private:
  Loader package_for(const at::Device& device, bool for_capture) {
    const std::lock_guard lock(mutex_);
    const bool shares = shared_->settings.enable_weight_sharing;
    if (shares) {
      if (const auto shared = loaded_[device.str()].lock()) return shared;
    }
    ++shared_->weight_copies;
    Loader package = device.is_cpu() && !shares ? std::exchange(first_, nullptr) : nullptr;
    first_.reset();
    if (!package) package = open(path_, shares ? kSharedRunners : 1, device, for_capture);
    loaded_[device.str()] = package;
    return package;
  }

  const MemoryTrim trim_;
  const std::string path_, device_;
  const serving::ModelMetadata metadata_;
  const std::vector<size_t> positions_;
  const std::unique_ptr<Shared> shared_;

  std::mutex mutex_;  // guards what follows
  Loader first_;
  std::map<std::string, std::weak_ptr<AOTIModelPackageLoader>> loaded_;
};

// "cpu", "cuda", or "" where the package does not say. Does not open it.
std::string device_key(const std::string& path) {
  const auto metadata = AOTIModelPackageLoader::load_metadata_from_package(path, "model");
  const auto found = metadata.find("AOTI_DEVICE_KEY");
  return found == metadata.end() ? "" : found->second;
}

absl::StatusOr<std::vector<size_t>> match_inputs(const std::vector<serving::TensorMetadata>& inputs,
                                                 const std::vector<std::string>& names) {
  auto positions = positions_of(inputs, names, names.size());
  if (!positions.ok()) return positions.status();
  if (inputs.size() == names.size()) return positions;
  return absl::InvalidArgumentError(
      concat("the configuration has ", inputs.size(), " inputs, but the package takes ", names.size()));
}

// A package for a GPU can be opened only where there is one.
absl::Status check_device(const std::string& path, const std::string& device) {
  if (device != "cuda") return absl::OkStatus();
  const int gpus = cuda() == nullptr ? 0 : cuda()->device_count();
  if (gpus > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      concat(path, " was compiled for a GPU, but there is none that torch can use"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<serving::Executable>> load_package(const std::string& path,
                                                                  const serving::ModelSource& source,
                                                                  const Settings& settings,
                                                                  serving::ModelMetadata metadata) {
  return guarded_load(path, [&]() -> absl::StatusOr<std::unique_ptr<serving::Executable>> {
    std::string device = device_key(path);
    if (absl::Status status = check_device(path, device); !status.ok()) return status;
    Loader package = open(path, 1, at::kCPU, /*for_capture=*/false);
    const std::vector<std::string> spec = package->get_call_spec();
    if (spec.size() != 2) return absl::InvalidArgumentError(concat(path, " has no call spec"));
    const auto names = input_names(spec[0]);
    if (!names.ok()) return names.status();
    const auto result_names = output_names(spec[1]);
    if (!result_names.ok()) return result_names.status();
    auto positions = match_inputs(source.inputs, *names);
    if (!positions.ok()) return positions.status();
    auto results = Results::match(source.outputs, *result_names, result_names->size());
    if (!results.ok()) return results.status();
    auto plan = plan_graphs(source);
    if (!plan.ok()) return plan.status();
    auto shared = std::make_unique<Shared>(source, settings, *std::move(results), *std::move(plan));
    shared->add_notice(metadata.notice);
    return std::make_unique<PackageExecutable>(path, std::move(device), std::move(metadata),
                                               std::move(package), *std::move(positions), std::move(shared));
  });
}

}  // namespace zeta::torch_backend
