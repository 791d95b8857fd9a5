// Who asks an S3 server, and how that is proven.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace zeta::s3 {

struct Credentials {
  std::string key_id, secret, session_token;
  std::string region = "us-east-1";

  bool anonymous() const { return key_id.empty(); }
};

// For the repository `location`, read anew at each call, so that keys may change while the server runs:
// from the JSON file that ZETA_CLOUD_CREDENTIAL_PATH or TRITON_CLOUD_CREDENTIAL_PATH names (the entry of "s3"
// with the longest key that `location` begins with), else from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN and AWS_REGION or AWS_DEFAULT_REGION, else from the profile AWS_PROFILE of
// AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials); anonymous where there is nothing. InvalidArgument names a
// file that cannot be read; never a secret.
absl::StatusOr<Credentials> find_credentials(std::string_view location);

struct SignedRequest {
  std::string method = "GET";
  std::string host;                                        // as in the Host header
  std::string path;                                        // percent-encoded
  std::vector<std::pair<std::string, std::string>> query;  // not encoded yet
};

using Headers = std::vector<std::pair<std::string, std::string>>;

// The headers that sign a request without a body at `time` (AWS Signature Version 4); none when anonymous.
Headers sign(const SignedRequest& request, const Credentials& credentials, std::time_t time);

// Percent-encoded as signatures want it; '/' stays where `is_path`.
std::string encode(std::string_view text, bool is_path);
// The query of a request, encoded and in order.
std::string encode_query(std::vector<std::pair<std::string, std::string>> query);

}  // namespace zeta::s3
