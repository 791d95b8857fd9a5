// Inference requests as protobuf messages.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "grpc_service.pb.h"
#include "src/serving/backend.h"
#include "src/serving/requested_output.h"
#include "src/serving/shared_memory.h"

namespace zeta::server::grpc_api {

// A request that has arrived and what its answer is to look like.
struct ReceivedRequest {
  std::string model_name;
  std::string model_version;
  std::shared_ptr<serving::InferRequest> request;
  std::vector<serving::RequestedOutput> outputs;
  bool empty_final_response = false;  // parameter triton_enable_empty_final_response
};

// Parses an encoded ModelInferRequest that comes in `pieces`. Its raw contents are not copied where they lie
// in one piece; see message_split.h. Whether the request fits the model is for the model to check.
// InvalidArgument names the tensor or parameter at fault, in Triton's words. `received` has the id, and the
// model's name, even when there is a failure.
absl::Status read_infer_request(std::span<const serving::Buffer> pieces,
                                const serving::SharedMemoryRegistry& shared_memory,
                                ReceivedRequest& received);

}  // namespace zeta::server::grpc_api
