// Inference requests and responses as JSON.
#pragma once

#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::server::kserve {

// Reads the body of …/infer: {"id", "inputs": [{"name", "shape", "datatype", "data"}], "outputs": [{"name"}],
// "parameters"}. InvalidArgument names the field; what is not supported is refused by name.
absl::StatusOr<std::shared_ptr<serving::InferRequest>> read_infer_request(std::string_view body);

// Reads a JSON object of strings, numbers and booleans.
absl::StatusOr<serving::Parameters> read_parameters(const boost::json::value& value);

// {"id":…,"model_name":…,"model_version":…,"parameters":{…},"outputs":[…]}, of all outputs or those that
// `requested` names.
absl::StatusOr<std::string> write_infer_response(const serving::ModelMetadata& model,
                                                 const serving::InferRequest& request,
                                                 const serving::InferResponse& response);

// Appends "key":value pairs, each preceded by a comma.
void write_parameters(const serving::Parameters& parameters, std::string& out);

}  // namespace zeta::server::kserve
