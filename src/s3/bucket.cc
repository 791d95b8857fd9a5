#include "src/s3/bucket.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <thread>

#include "src/base/concat.h"

namespace zeta::s3 {
namespace {

using std::chrono::milliseconds;

constexpr int kTries = 5;
constexpr milliseconds kFirstPause{200};  // doubled from try to try
constexpr size_t kMaxObjects = 1'000'000;

bool may_pass(const absl::StatusOr<http::IncomingResponse>& answer) {
  if (!answer.ok()) return absl::IsUnavailable(answer.status()) || absl::IsDeadlineExceeded(answer.status());
  return answer->status == 429 || answer->status >= 500;
}

std::string element(std::string_view xml, std::string_view name) {
  const std::string open = concat("<", name, ">");
  const size_t start = xml.find(open);
  const size_t end = xml.find(concat("</", name, ">"));
  if (start == std::string_view::npos || end == std::string_view::npos || end < start) return "";
  return std::string(xml.substr(start + open.size(), end - start - open.size()));
}

absl::Status failure(const std::string& what, const http::IncomingResponse& answer) {
  std::string text = concat(what, ": status ", answer.status);
  const std::string code = element(answer.body, "Code"), message = element(answer.body, "Message");
  if (!code.empty()) text += concat(" ", code, message.empty() ? "" : ": ", message);
  const auto region = answer.headers.find("x-amz-bucket-region");
  if (region != answer.headers.end()) text += concat(" (the bucket's region is ", region->second, ")");
  if (answer.status == 404) return absl::NotFoundError(text);
  if (answer.status == 401 || answer.status == 403) return absl::PermissionDeniedError(text);
  if (answer.status == 412) return absl::AbortedError(text);
  return absl::UnavailableError(text);
}

bool is_host_label(std::string_view bucket) {
  return bucket.find_first_of("._ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos &&
         bucket.size() <= 63;
}

// AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL stand for Amazon's, as in its own tools.
http::Url amazon(const std::string& bucket, const std::string& region, bool& path_style) {
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == 0) continue;
    if (const auto url = http::parse_url(value); url.ok()) return *url;
  }
  path_style = !is_host_label(bucket);
  const std::string host = concat("s3.", region, ".amazonaws.com");
  return {true, path_style ? host : concat(bucket, ".", host), 443, "/"};
}

}  // namespace

Bucket::Bucket(const Location& location, Credentials credentials)
    : bucket_(location.bucket),
      credentials_(std::move(credentials)),
      server_(location.endpoint.host.empty() ? amazon(location.bucket, credentials_.region, path_style_)
                                             : location.endpoint),
      client_(server_) {}

std::string Bucket::path_of(const std::string& key) const {
  return concat(path_style_ ? concat("/", bucket_, key.empty() ? "" : "/") : "/", encode(key, true));
}

absl::StatusOr<http::IncomingResponse> Bucket::ask(
    const std::string& key, const std::vector<std::pair<std::string, std::string>>& query,
    const std::string& if_match, const std::function<void()>& begin, const http::Client::TakeBody& take) {
  const SignedRequest request{"GET", server_.authority(), path_of(key), query};
  http::OutgoingRequest outgoing{"GET", request.path, {}};
  if (!query.empty()) outgoing.target += concat("?", encode_query(query));
  milliseconds pause = kFirstPause;
  for (int i = 1;; ++i, pause *= 2) {
    outgoing.headers = sign(request, credentials_, std::time(nullptr));
    if (!if_match.empty()) outgoing.headers.emplace_back("If-Match", if_match);
    if (begin) begin();
    auto answer = client_.ask(outgoing, take);
    if (answer.ok() && answer->status / 100 == 2) return answer;
    if (i < kTries && may_pass(answer)) {
      std::this_thread::sleep_for(pause);
      continue;
    }
    const std::string what = concat("s3://", bucket_, "/", key);
    if (answer.ok()) return failure(what, *answer);
    return absl::Status(answer.status().code(), concat(what, ": ", std::string(answer.status().message())));
  }
}

absl::StatusOr<Listing> Bucket::list(const std::string& prefix, bool delimited) {
  Listing all;
  do {
    std::vector<std::pair<std::string, std::string>> query{
        {"list-type", "2"}, {"encoding-type", "url"}, {"prefix", prefix}};
    if (delimited) query.emplace_back("delimiter", "/");
    if (!all.next.empty()) query.emplace_back("continuation-token", all.next);
    const auto answer = ask("", query, "", nullptr, nullptr);
    if (!answer.ok()) return answer.status();
    auto page = parse_listing(answer->body);
    if (!page.ok()) {
      return absl::UnavailableError(
          concat("s3://", bucket_, "/", prefix, ": ", std::string(page.status().message())));
    }
    std::move(page->objects.begin(), page->objects.end(), std::back_inserter(all.objects));
    std::move(page->folders.begin(), page->folders.end(), std::back_inserter(all.folders));
    all.next = page->next;
    if (all.objects.size() > kMaxObjects) {
      return absl::ResourceExhaustedError(
          concat("s3://", bucket_, "/", prefix, ": more than ", kMaxObjects, " objects"));
    }
  } while (!all.next.empty());
  return all;
}

absl::Status Bucket::download(const Object& object, const std::string& path) {
  const std::string part = path + ".part";
  std::ofstream file;
  uint64_t size = 0;
  const auto begin = [&] {
    file.close();
    file.clear();
    file.open(part, std::ios::binary | std::ios::trunc);
    size = 0;
  };
  const auto take = [&](std::string_view piece) -> absl::Status {
    size += piece.size();
    if (size > object.size)
      return absl::AbortedError(concat("s3://", bucket_, "/", object.key, " has changed"));
    if (file.write(piece.data(), static_cast<std::streamsize>(piece.size()))) return absl::OkStatus();
    return absl::ResourceExhaustedError(concat("cannot write ", part));
  };
  const auto answer = ask(object.key, {}, object.etag, begin, take);
  if (!answer.ok()) return answer.status();
  if (size != object.size)
    return absl::AbortedError(concat("s3://", bucket_, "/", object.key, " has changed"));
  file.close();
  std::error_code error;
  if (!file) return absl::ResourceExhaustedError(concat("cannot write ", part));
  std::filesystem::rename(part, path, error);
  return error ? absl::InternalError(concat("cannot rename ", part, ": ", error.message()))
               : absl::OkStatus();
}

}  // namespace zeta::s3
