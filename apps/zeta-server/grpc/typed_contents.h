// Tensors whose elements stand in protobuf's own repeated fields.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "grpc_service.pb.h"
#include "src/serving/backend.h"

namespace zeta::server::grpc_api {

// The elements as a tensor's bytes. InvalidArgument, in Triton's words, when they stand in another field than
// the one for `type`, when one does not fit the type, or when there is no field for it (FP16, BF16).
absl::StatusOr<serving::Buffer> read_contents(const std::string& input, const std::string& model,
                                              serving::DataType type,
                                              const inference::InferTensorContents& contents);

}  // namespace zeta::server::grpc_api
