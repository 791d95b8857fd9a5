#include "apps/zeta-server/grpc/call_metadata.h"

#include "src/base/concat.h"

namespace zeta::server::grpc_api {
namespace {

std::string_view to_view(const grpc::string_ref& text) { return {text.data(), text.size()}; }

}  // namespace

absl::Status check_access(const AccessRules& rules, Api api, const grpc::ServerContextBase& context) {
  const AccessRule* rule = rules.find(api);
  if (rule == nullptr) return absl::OkStatus();
  const std::string header = concat("triton-grpc-protocol-", rule->header);
  const auto found = context.client_metadata().find(header);
  if (found != context.client_metadata().end() &&
      equal_in_constant_time(to_view(found->second), rule->value)) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(concat("This protocol is restricted, expecting header '", header, "'"));
}

void forward_headers(const HeaderPattern* pattern, const grpc::ServerContextBase& context,
                     serving::Parameters& parameters) {
  if (pattern == nullptr) return;
  for (const auto& [name, value] : context.client_metadata()) {
    if (pattern->matches(to_view(name))) parameters[std::string(to_view(name))] = std::string(to_view(value));
  }
}

bool wants_grpc_errors(const grpc::ServerContextBase& context) {
  const auto found = context.client_metadata().find("triton_grpc_error");
  return found != context.client_metadata().end() && to_view(found->second) == "true";
}

}  // namespace zeta::server::grpc_api
