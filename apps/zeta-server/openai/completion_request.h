// The body of POST /v1/completions.
#pragma once

#include <boost/json/object.hpp>

#include "apps/zeta-server/openai/generation_request.h"

namespace zeta::server::openai {

// Throws ApiError.
GenerationRequest read_completion_request(const boost::json::object& body);

}  // namespace zeta::server::openai
