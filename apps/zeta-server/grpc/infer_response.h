// Inference responses as protobuf messages.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/serving/backend.h"
#include "src/serving/requested_output.h"

namespace zeta::server::grpc_api {

// What stands in a ModelInferResponse beside the outputs.
struct ResponseHead {
  std::string_view model_name;
  std::string_view model_version;
  std::string_view id;
  const serving::Parameters* parameters = nullptr;
  std::optional<bool> final;  // in streams: parameter triton_final_response
};

// An encoded ModelInferResponse. Tensors go behind the rest as raw_output_contents; large ones are not copied
// but referred to, and live until the message is sent.
grpc::ByteBuffer encode_response(const ResponseHead& head, std::vector<serving::DeliveredOutput> outputs);

// The same within a ModelStreamInferResponse.
grpc::ByteBuffer encode_stream_response(const ResponseHead& head,
                                        std::vector<serving::DeliveredOutput> outputs);

// A ModelStreamInferResponse that says what went wrong with the request `id`.
grpc::ByteBuffer encode_stream_error(const absl::Status& status, std::string_view id);

}  // namespace zeta::server::grpc_api
