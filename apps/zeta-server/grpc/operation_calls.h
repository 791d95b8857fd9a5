// The calls for shared memory, traces and the log: answers as functions of requests.
#pragma once

#include "absl/status/status.h"
#include "apps/zeta-server/grpc/call_context.h"
#include "grpc_service.pb.h"

namespace zeta::server::grpc_api {

absl::Status system_shared_memory_status(const CallContext& call,
                                         const inference::SystemSharedMemoryStatusRequest& request,
                                         inference::SystemSharedMemoryStatusResponse& response);
absl::Status register_system_shared_memory(const CallContext& call,
                                           const inference::SystemSharedMemoryRegisterRequest& request,
                                           inference::SystemSharedMemoryRegisterResponse& response);
absl::Status unregister_system_shared_memory(const CallContext& call,
                                             const inference::SystemSharedMemoryUnregisterRequest& request,
                                             inference::SystemSharedMemoryUnregisterResponse& response);

// There is no CUDA in this server: nothing is registered, and registering is Unimplemented.
absl::Status cuda_shared_memory_status(const CallContext& call,
                                       const inference::CudaSharedMemoryStatusRequest& request,
                                       inference::CudaSharedMemoryStatusResponse& response);
absl::Status register_cuda_shared_memory(const CallContext& call,
                                         const inference::CudaSharedMemoryRegisterRequest& request,
                                         inference::CudaSharedMemoryRegisterResponse& response);
absl::Status unregister_cuda_shared_memory(const CallContext& call,
                                           const inference::CudaSharedMemoryUnregisterRequest& request,
                                           inference::CudaSharedMemoryUnregisterResponse& response);

absl::Status trace_setting(const CallContext& call, const inference::TraceSettingRequest& request,
                           inference::TraceSettingResponse& response);
absl::Status log_settings(const CallContext& call, const inference::LogSettingsRequest& request,
                          inference::LogSettingsResponse& response);

}  // namespace zeta::server::grpc_api
