#include "apps/zeta-server/model_version.h"

#include "src/base/concat.h"

namespace zeta::server {

absl::Status check_version(std::string_view version) {
  const bool digits = version.find_first_not_of("0123456789") == std::string_view::npos;
  if (version.empty() || (digits && version.front() != '0')) return absl::OkStatus();
  return absl::InvalidArgumentError(concat("failed to get model version from specified version string '",
                                           version, "', version should be an integral value > 0"));
}

}  // namespace zeta::server
