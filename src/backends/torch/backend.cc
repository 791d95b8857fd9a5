// PyTorch models: TorchScript (model.pt) and AOTInductor packages (model.pt2); the shared object's one
// symbol.
#include "src/serving/backend.h"

#include <filesystem>
#include <memory>

#include "src/backends/torch/package_model.h"
#include "src/backends/torch/script_model.h"
#include "src/backends/torch/settings.h"
#include "src/backends/torch/sidecar.h"
#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::string> find_file(const serving::ModelSource& source) {
  std::error_code error;
  const fs::path folder(source.folder);
  if (!source.file.empty()) {
    if (fs::exists(folder / source.file, error)) return folder / source.file;
    return absl::NotFoundError(concat("no such file: ", (folder / source.file).string()));
  }
  for (const char* name : {"model.pt", "model.pt2"}) {
    if (fs::exists(folder / name, error)) return folder / name;
  }
  return absl::NotFoundError(
      concat(source.folder, " has neither model.pt (TorchScript) nor model.pt2 ", "(AOTInductor)"));
}

class TorchBackend final : public serving::Backend {
 public:
  absl::StatusOr<std::unique_ptr<serving::Executable>> load_executable(
      const serving::ModelSource& given) override {
    serving::ModelSource source = given;
    const auto settings = read_settings(source.parameters);
    if (!settings.ok()) return settings.status();
    const auto file = find_file(source);
    if (!file.ok()) return file.status();
    const auto sidecar = read_sidecar(source.folder);
    if (!sidecar.ok()) return sidecar.status();
    if (absl::Status status = complete(*sidecar, source); !status.ok()) return status;
    const bool is_package = file->ends_with(".pt2");
    serving::ModelMetadata metadata;
    metadata.name = source.name;
    metadata.version = source.version;
    metadata.platform = is_package ? "torch_aoti" : "pytorch_libtorch";
    metadata.inputs = source.inputs;
    metadata.outputs = source.outputs;
    metadata.notice = apply_to_process(*settings);
    return (is_package ? load_package : load_script)(*file, source, *settings, std::move(metadata));
  }
};

}  // namespace
}  // namespace zeta::torch_backend

// AOTI_RUNTIME_CHECK_INPUTS stays off: torch's own check would refuse a batch of one, since Inductor takes
// every dynamic dimension for at least 2. check_shape() stands in for it.
zeta::serving::Backend* zeta_backend() { return new zeta::torch_backend::TorchBackend; }
