#include <atomic>
#include <memory>
#include <utility>

#include "apps/zeta-server/grpc/call_metadata.h"
#include "apps/zeta-server/grpc/model_calls.h"
#include "apps/zeta-server/grpc/operation_calls.h"
#include "apps/zeta-server/grpc/service.h"
#include "apps/zeta-server/grpc/status.h"
#include "apps/zeta-server/grpc/stream_infer.h"
#include "apps/zeta-server/grpc/unary_infer.h"
#include "grpc_service.grpc.pb.h"

namespace zeta::server::grpc_api {
namespace {

using namespace inference;  // NOLINT(google-build-using-namespace): the protocol's own messages
using S = GRPCInferenceService;

// These get encoded messages, and so can take tensors from where they lie.
template <class Base>
using Raw = S::WithRawCallbackMethod_ModelInfer<S::WithRawCallbackMethod_ModelStreamInfer<Base>>;

// All others come decoded and are answered at once.
template <class Base>
using ModelCalls = S::WithCallbackMethod_ModelReady<S::WithCallbackMethod_ModelMetadata<
    S::WithCallbackMethod_ModelConfig<S::WithCallbackMethod_ModelStatistics<Base>>>>;
template <class Base>
using ServerCalls =
    S::WithCallbackMethod_ServerLive<S::WithCallbackMethod_ServerReady<S::WithCallbackMethod_ServerMetadata<
        S::WithCallbackMethod_TraceSetting<S::WithCallbackMethod_LogSettings<Base>>>>>;
template <class Base>
using RepositoryCalls = S::WithCallbackMethod_RepositoryIndex<
    S::WithCallbackMethod_RepositoryModelLoad<S::WithCallbackMethod_RepositoryModelUnload<Base>>>;
template <class Base>
using SharedMemoryCalls = S::WithCallbackMethod_SystemSharedMemoryStatus<
    S::WithCallbackMethod_SystemSharedMemoryRegister<S::WithCallbackMethod_SystemSharedMemoryUnregister<
        S::WithCallbackMethod_CudaSharedMemoryStatus<S::WithCallbackMethod_CudaSharedMemoryRegister<
            S::WithCallbackMethod_CudaSharedMemoryUnregister<Base>>>>>>;
using CallbackService = Raw<ModelCalls<ServerCalls<RepositoryCalls<SharedMemoryCalls<S::Service>>>>>;

// A call that another thread ends, unless the client or the server has gone before.
class ControlCall final : public grpc::ServerUnaryReactor {
 public:
  // Outlives the call, which lives until Finish.
  struct Ending {
    explicit Ending(ControlCall* ended) : call(ended) {}
    std::atomic<bool> claimed{false};
    ControlCall* const call;
    void end(const absl::Status& status) {
      if (!claimed.exchange(true)) call->Finish(to_grpc(status));
    }
  };

  const std::shared_ptr<Ending>& ending() const { return ending_; }
  void end(const absl::Status& status) { ending_->end(status); }
  void OnCancel() override { end(absl::CancelledError("the client has gone")); }
  void OnDone() override { delete this; }

 private:
  const std::shared_ptr<Ending> ending_ = std::make_shared<Ending>(this);
};

class InferenceService final : public CallbackService {
 public:
  explicit InferenceService(const CallContext& call) : call_(call) {}

  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override {
    return start_infer(call_, context, request, response);
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ModelStreamInfer(
      grpc::CallbackServerContext* context) override {
    return start_stream(call_, context);
  }

// Each call is a function of its request; see model_calls.h and operation_calls.h.
#define ZETA_CALL(NAME, API, FUNCTION)                                                               \
  grpc::ServerUnaryReactor* NAME(grpc::CallbackServerContext* context, const NAME##Request* request, \
                                 NAME##Response* response) override {                                \
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();                                   \
    absl::Status status = check_access(call_.access, Api::API, *context);                            \
    if (status.ok()) status = FUNCTION(call_, *request, *response);                                  \
    reactor->Finish(to_grpc(status));                                                                \
    return reactor;                                                                                  \
  }
  ZETA_CALL(ServerLive, kHealth, server_live)
  ZETA_CALL(ServerReady, kHealth, server_ready)
  ZETA_CALL(ModelReady, kHealth, model_ready)
  ZETA_CALL(ServerMetadata, kMetadata, server_metadata)
  ZETA_CALL(ModelMetadata, kMetadata, model_metadata)
  ZETA_CALL(ModelConfig, kModelConfig, model_config)
  ZETA_CALL(ModelStatistics, kStatistics, model_statistics)
  ZETA_CALL(RepositoryIndex, kModelRepository, repository_index)
  ZETA_CALL(SystemSharedMemoryStatus, kSharedMemory, system_shared_memory_status)
  ZETA_CALL(SystemSharedMemoryRegister, kSharedMemory, register_system_shared_memory)
  ZETA_CALL(SystemSharedMemoryUnregister, kSharedMemory, unregister_system_shared_memory)
  ZETA_CALL(CudaSharedMemoryStatus, kSharedMemory, cuda_shared_memory_status)
  ZETA_CALL(CudaSharedMemoryRegister, kSharedMemory, register_cuda_shared_memory)
  ZETA_CALL(CudaSharedMemoryUnregister, kSharedMemory, unregister_cuda_shared_memory)
  ZETA_CALL(TraceSetting, kTrace, trace_setting)
  ZETA_CALL(LogSettings, kLogging, log_settings)
#undef ZETA_CALL

  // These take long, so they run elsewhere; their responses are empty.
  grpc::ServerUnaryReactor* RepositoryModelLoad(grpc::CallbackServerContext* context,
                                                const RepositoryModelLoadRequest* request,
                                                RepositoryModelLoadResponse*) override {
    return run_elsewhere(*context, [&call = call_, request = *request] { return load_model(call, request); });
  }
  grpc::ServerUnaryReactor* RepositoryModelUnload(grpc::CallbackServerContext* context,
                                                  const RepositoryModelUnloadRequest* request,
                                                  RepositoryModelUnloadResponse*) override {
    return run_elsewhere(*context,
                         [&call = call_, request = *request] { return unload_model(call, request); });
  }

 private:
  template <class Work>
  grpc::ServerUnaryReactor* run_elsewhere(const grpc::CallbackServerContext& context, Work work) {
    auto* call = new ControlCall;
    if (absl::Status status = check_access(call_.access, Api::kModelRepository, context); !status.ok()) {
      call->end(status);
    } else {
      call_.server->control_threads->run([ending = call->ending(), work] { ending->end(status_of(work)); });
    }
    return call;
  }

  const CallContext& call_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_inference_service(const CallContext& call) {
  return std::make_unique<InferenceService>(call);
}

}  // namespace zeta::server::grpc_api
