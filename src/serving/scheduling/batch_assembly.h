// Putting requests together into a batch, and sharing its outputs out.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"
#include "src/serving/scheduling/pending_request.h"
#include "src/serving/scheduling/policy.h"

namespace zeta::serving {

// The same for all batches of a model; thread-safe.
class BatchAssembly {
 public:
  // `model` describes the tensors that the model itself takes and gives.
  BatchAssembly(const SchedulingPolicy& policy, ModelMetadata model);

  // What clients give and get: without the tensors that the server makes or keeps, in the clients' shapes.
  const ModelMetadata& client_metadata() const { return client_; }

  // Equal for requests that can share a batch: equal shapes but for the batch dimension (and for ragged
  // inputs), the same optional inputs, equal parameters that reach the model.
  std::string compatibility(const InferRequest& request) const;

  // Copies nothing: the batch refers to the requests' buffers. The requests are compatible.
  Batch assemble(std::span<const PendingRequest> requests) const;

  // The response to each request, of the outputs it wants, as views of the batch's. Internal when an output
  // cannot be shared out by the requests' batch sizes.
  absl::StatusOr<std::vector<InferResponse>> share_out(const std::vector<Tensor>& outputs,
                                                       std::span<const PendingRequest> requests) const;

 private:
  void describe_clients_view();
  std::vector<int64_t> model_shape(const TensorMetadata& model, const std::vector<int64_t>& given) const;
  std::vector<int64_t> client_shape(const std::string& output, const std::vector<int64_t>& given) const;
  BatchInput join(const TensorMetadata& input, std::span<const PendingRequest> requests) const;
  absl::Status share_out(const Tensor& output, std::span<const PendingRequest> requests,
                         std::vector<InferResponse>& responses) const;
  absl::StatusOr<std::vector<int64_t>> shares_of(const Tensor& output,
                                                 std::span<const PendingRequest> requests,
                                                 const ScatteredOutput* scattered) const;

  const SchedulingPolicy policy_;
  const ModelMetadata model_;
  ModelMetadata client_;
};

// Whether a request's parameter is the server's own business, not the model's.
bool is_scheduling_parameter(const std::string& name);

}  // namespace zeta::serving
