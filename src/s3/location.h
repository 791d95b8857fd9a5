// Where an S3 repository is.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "src/http/client.h"

namespace zeta::s3 {

struct Location {
  std::string text;  // as written, for messages
  std::string bucket;
  std::string prefix;  // of the keys: "" or ends with '/'
  // Of a server that is named; without a host Amazon's of the region.
  http::Url endpoint;
};

bool is_location(std::string_view text);

// s3://BUCKET[/PATH], or s3://[http://|https://]HOST:PORT/BUCKET[/PATH] as Triton has it; without a scheme a
// named host is asked over http. InvalidArgument says what is wrong.
absl::StatusOr<Location> parse_location(std::string_view text);

}  // namespace zeta::s3
