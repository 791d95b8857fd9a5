// Objects of an S3 bucket.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/http/client.h"
#include "src/s3/credentials.h"
#include "src/s3/location.h"

namespace zeta::s3 {

struct Object {
  std::string key;
  uint64_t size = 0;
  std::string etag;  // with its quotes; changes with the content
};

// One answer to ListObjectsV2, or several joined.
struct Listing {
  std::vector<Object> objects;
  std::vector<std::string> folders;  // common prefixes, with '/' at the end
  std::string next;                  // the token of the next page; "": this is the last
};

// InvalidArgument when it is no such answer. Keys are percent-encoded in it (encoding-type=url).
absl::StatusOr<Listing> parse_listing(std::string_view xml);

// Blocks; not thread-safe. What may pass (429, 5xx, a connection that broke) is tried again, a few times and
// ever later. Failures name bucket, key and status: NotFound (404), PermissionDenied (401, 403), Aborted (an
// object that has changed, 412), else Unavailable.
class Bucket {
 public:
  Bucket(const Location& location, Credentials credentials);

  // All pages. `delimited`: only what is directly below `prefix`.
  absl::StatusOr<Listing> list(const std::string& prefix, bool delimited);
  // Writes the object, if it still has that etag, to `path`, which appears when it is whole.
  absl::Status download(const Object& object, const std::string& path);

 private:
  // `begin` is called before each try; `take` then gets the body.
  absl::StatusOr<http::IncomingResponse> ask(const std::string& key,
                                             const std::vector<std::pair<std::string, std::string>>& query,
                                             const std::string& if_match, const std::function<void()>& begin,
                                             const http::Client::TakeBody& take);
  std::string path_of(const std::string& key) const;

  const std::string bucket_;
  const Credentials credentials_;
  bool path_style_ = true;  // else the bucket is part of the host's name
  http::Url server_;
  http::Client client_;
};

}  // namespace zeta::s3
