#include "src/s3/credentials.h"

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>

#include "src/base/concat.h"

namespace zeta::s3 {
namespace {

namespace json = boost::json;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string first_of(const std::string& a, const std::string& b) { return a.empty() ? b : a; }

std::string trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return std::string(text);
}

void set_region(Credentials& credentials) {
  const std::string region = first_of(variable("AWS_REGION"), variable("AWS_DEFAULT_REGION"));
  if (!region.empty()) credentials.region = region;
}

// One section of an INI file.
void read_profile(std::istream& file, const std::string& profile, Credentials& credentials) {
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    const std::string text = trim(line);
    if (text.starts_with('[')) inside = text == concat("[", profile, "]");
    const size_t equals = text.find('=');
    if (!inside || equals == std::string::npos) continue;
    const std::string name = trim(std::string_view(text).substr(0, equals));
    const std::string value = trim(std::string_view(text).substr(equals + 1));
    if (name == "aws_access_key_id") credentials.key_id = value;
    if (name == "aws_secret_access_key") credentials.secret = value;
    if (name == "aws_session_token") credentials.session_token = value;
    if (name == "region") credentials.region = value;
  }
}

absl::StatusOr<Credentials> of_profile(const std::string& profile) {
  Credentials credentials;
  const std::string named = variable("AWS_SHARED_CREDENTIALS_FILE");
  std::ifstream file(first_of(named, variable("HOME") + "/.aws/credentials"));
  if (!file && !named.empty()) return absl::InvalidArgumentError(concat("cannot read ", named));
  if (file) read_profile(file, first_of(profile, "default"), credentials);
  set_region(credentials);
  return credentials;
}

absl::StatusOr<Credentials> of_environment() {
  Credentials credentials;
  credentials.key_id = variable("AWS_ACCESS_KEY_ID");
  credentials.secret = variable("AWS_SECRET_ACCESS_KEY");
  credentials.session_token = variable("AWS_SESSION_TOKEN");
  set_region(credentials);
  if (credentials.anonymous()) return of_profile(variable("AWS_PROFILE"));
  return credentials;
}

absl::StatusOr<Credentials> of_entry(const json::object& entry) {
  const auto text = [&](const char* name) -> std::string {
    const json::value* value = entry.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string().c_str()) : "";
  };
  Credentials credentials;
  credentials.key_id = text("key_id");
  if (credentials.anonymous()) return of_profile(text("profile"));
  credentials.secret = text("secret_key");
  credentials.session_token = text("session_token");
  credentials.region = first_of(text("region"), credentials.region);
  return credentials;
}

absl::StatusOr<Credentials> of_file(const std::string& path, std::string_view location) {
  std::ifstream file(path);
  if (!file) return absl::InvalidArgumentError(concat("cannot read ", path));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::value* entries = error || !parsed.is_object() ? nullptr : parsed.get_object().if_contains("s3");
  if (entries == nullptr || !entries->is_object()) {
    return absl::InvalidArgumentError(concat(path, ": expected JSON with an object \"s3\""));
  }
  const json::object* best = nullptr;
  size_t length = 0;
  for (const auto& member : entries->get_object()) {
    const std::string_view key(member.key().data(), member.key().size());
    if (!location.starts_with(key) || !member.value().is_object()) continue;
    if (best != nullptr && key.size() < length) continue;
    best = &member.value().get_object();
    length = key.size();
  }
  return best == nullptr ? of_environment() : of_entry(*best);
}

}  // namespace

absl::StatusOr<Credentials> find_credentials(std::string_view location) {
  const std::string path =
      first_of(variable("ZETA_CLOUD_CREDENTIAL_PATH"), variable("TRITON_CLOUD_CREDENTIAL_PATH"));
  return path.empty() ? of_environment() : of_file(path, location);
}

}  // namespace zeta::s3
