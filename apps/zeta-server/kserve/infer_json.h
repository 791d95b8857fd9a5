// Inference requests and responses as JSON, with tensors in it, behind it or in shared memory.
#pragma once

#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "src/http/message.h"
#include "src/serving/backend.h"
#include "src/serving/requested_output.h"
#include "src/serving/shared_memory.h"

namespace zeta::server::kserve {

// A request and what its answer is to look like.
struct ReadRequest {
  std::shared_ptr<serving::InferRequest> request;
  std::vector<serving::RequestedOutput> outputs;
  bool binary_output = false;  // of outputs that do not say
};

// Where the request comes from.
struct RequestSource {
  std::shared_ptr<const std::string> body;
  size_t json_size = 0;  // of the body; what follows are tensors
  std::string_view model;
  const serving::SharedMemoryRegistry& shared_memory;
};

// Reads the body of …/infer: {"id", "inputs": [{"name", "shape", "datatype", "data"}], "outputs": [{"name"}],
// "parameters"}. Instead of "data" an input may have the parameter binary_data_size, and its bytes stand
// behind the JSON, in the order of the inputs; or shared_memory_region, _offset and _byte_size. Tensors
// behind the JSON are views of the body where their alignment allows it. InvalidArgument names the field;
// what is not supported is refused by name.
absl::StatusOr<ReadRequest> read_infer_request(const RequestSource& source);

// Reads a JSON object of strings, numbers and booleans. The parameters that Triton gives a meaning must have
// their types; others that begin with "triton_" are refused.
absl::StatusOr<serving::Parameters> read_parameters(const boost::json::value& value);

struct WrittenResponse {
  std::string json;
  std::vector<http::BodyPiece> tail;  // the binary outputs, in order
};

// {"id":…,"model_name":…,"model_version":…,"parameters":{…},"outputs":[…]}, of the outputs that are asked
// for.
absl::StatusOr<WrittenResponse> write_infer_response(const serving::ModelMetadata& model,
                                                     const ReadRequest& request,
                                                     serving::InferResponse response);

// Appends "key":value pairs, each preceded by a comma.
void write_parameters(const serving::Parameters& parameters, std::string& out);

}  // namespace zeta::server::kserve
