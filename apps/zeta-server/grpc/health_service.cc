#include "apps/zeta-server/grpc/call_metadata.h"
#include "apps/zeta-server/grpc/service.h"
#include "apps/zeta-server/grpc/status.h"
#include "health.grpc.pb.h"

namespace zeta::server::grpc_api {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthService final : public Health::WithCallbackMethod_Check<Health::Service> {
 public:
  explicit HealthService(const CallContext& call) : call_(call) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context, const HealthCheckRequest*,
                                  HealthCheckResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const absl::Status status = check_access(call_.access, Api::kHealth, *context);
    response->set_status(call_.server->registry->ready() ? HealthCheckResponse::SERVING
                                                         : HealthCheckResponse::NOT_SERVING);
    reactor->Finish(to_grpc(status));
    return reactor;
  }

 private:
  const CallContext& call_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_health_service(const CallContext& call) {
  return std::make_unique<HealthService>(call);
}

}  // namespace zeta::server::grpc_api
