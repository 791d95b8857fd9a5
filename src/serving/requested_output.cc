#include "src/serving/requested_output.h"

#include <algorithm>
#include <utility>

#include "src/base/concat.h"

namespace zeta::serving {
namespace {

const RequestedOutput* find_request(const std::vector<RequestedOutput>& requested, const std::string& name) {
  const auto found = std::ranges::find(requested, name, &RequestedOutput::name);
  return found == requested.end() ? nullptr : &*found;
}

const std::vector<std::string>& labels_of(const ModelMetadata& model, const std::string& output) {
  static const auto* none = new std::vector<std::string>;
  const auto found = std::ranges::find(model.outputs, output, &TensorMetadata::name);
  return found == model.outputs.end() ? *none : found->labels;
}

absl::Status move_to_shared_memory(const OutputTarget& target, Tensor& tensor) {
  if (tensor.data.size > target.range.size()) {
    return absl::InternalError(concat("shared memory size specified with the request for output '",
                                      tensor.name, "' (", target.range.size(), " bytes) should be at least ",
                                      tensor.data.size, " bytes to hold the results"));
  }
  absl::Status status = target.range.write(tensor.data);
  tensor.data = {};
  return status;
}

}  // namespace

absl::StatusOr<std::vector<DeliveredOutput>> deliver_outputs(const ModelMetadata& model,
                                                             const std::vector<RequestedOutput>& requested,
                                                             std::vector<Tensor> outputs) {
  std::vector<DeliveredOutput> delivered;
  delivered.reserve(outputs.size());
  for (Tensor& tensor : outputs) {
    const RequestedOutput* request = find_request(requested, tensor.name);
    if (request == nullptr && !requested.empty()) continue;
    if (request != nullptr && request->classification > 0) {
      auto classes =
          classify(tensor, request->classification, model.batched(), labels_of(model, tensor.name));
      if (!classes.ok()) return classes.status();
      tensor = *std::move(classes);
    }
    const size_t size = tensor.data.size;
    if (request != nullptr && request->target) {
      if (absl::Status status = move_to_shared_memory(*request->target, tensor); !status.ok()) return status;
    }
    delivered.push_back({std::move(tensor), request, size});
  }
  return delivered;
}

}  // namespace zeta::serving
