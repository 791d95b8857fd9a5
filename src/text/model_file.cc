#include "src/text/model_file.h"

#include <boost/json/parse.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace zeta::text {

absl::StatusOr<std::string> read_model_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  // Streaming an empty file sets failbit on `content`, so that state says nothing.
  if (file) content << file.rdbuf();
  if (!file || errno != 0) {
    const auto code = errno == ENOENT ? absl::StatusCode::kNotFound : absl::StatusCode::kFailedPrecondition;
    return absl::Status(code, absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
  }
  return std::move(content).str();
}

absl::StatusOr<boost::json::object> read_model_json(const std::string& path) {
  absl::StatusOr<std::string> content = read_model_file(path);
  if (!content.ok()) return content.status();
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(*content, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat(path, " is not JSON: ", error.message()));
  if (!value.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": expected a JSON object"));
  return std::move(value.as_object());
}

}  // namespace zeta::text
