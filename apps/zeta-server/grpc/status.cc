#include "apps/zeta-server/grpc/status.h"

#include <string>

namespace zeta::server::grpc_api {

grpc::Status to_grpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  auto code = static_cast<grpc::StatusCode>(status.code());  // the numbers are the same
  if (absl::IsResourceExhausted(status)) code = grpc::StatusCode::UNAVAILABLE;
  if (absl::IsOutOfRange(status) || absl::IsFailedPrecondition(status)) {
    code = grpc::StatusCode::INVALID_ARGUMENT;
  }
  return {code, std::string(status.message())};
}

}  // namespace zeta::server::grpc_api
