#include "apps/zeta-server/grpc/call_metadata.h"

#include <algorithm>

#include "apps/zeta-server/client_rate.h"
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

// As gRPC has it: ipv4:ADDRESS:PORT or ipv6:%5BADDRESS%5D:PORT; the port changes from connection to
// connection.
absl::Status check_rate(const Context& server, const grpc::ServerContextBase& context) {
  if (server.client_rate == nullptr || !server.client_rate->limited()) return absl::OkStatus();
  const std::string peer = context.peer();
  std::string_view address = peer;
  address = address.substr(0, address.rfind(':'));
  address.remove_prefix(std::min(address.find(':') + 1, address.size()));
  if (address.starts_with("%5B") && address.ends_with("%5D")) address = address.substr(3, address.size() - 6);
  return server.client_rate->take(address);
}

std::string_view header(const grpc::ServerContextBase& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  return found == context.client_metadata().end() ? "" : to_view(found->second);
}

bool wants_grpc_errors(const grpc::ServerContextBase& context) {
  return header(context, "triton_grpc_error") == "true";
}

}  // namespace zeta::server::grpc_api
