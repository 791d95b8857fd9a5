// The body of POST /v1/chat/completions.
#pragma once

#include <boost/json/object.hpp>

#include "apps/zeta-server/openai/generation_request.h"

namespace zeta::server::openai {

// Messages go to the model as a JSON array of {role, content}, text parts joined. Throws ApiError.
GenerationRequest read_chat_request(const boost::json::object& body);

}  // namespace zeta::server::openai
