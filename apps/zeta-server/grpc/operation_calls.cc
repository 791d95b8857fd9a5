#include "apps/zeta-server/grpc/operation_calls.h"

#include <string>

#include "apps/zeta-server/settings/log_settings.h"
#include "apps/zeta-server/tracing/tracer.h"
#include "src/base/concat.h"
#include "src/serving/shared_memory.h"

namespace zeta::server::grpc_api {

absl::Status system_shared_memory_status(const CallContext& call,
                                         const inference::SystemSharedMemoryStatusRequest& request,
                                         inference::SystemSharedMemoryStatusResponse& response) {
  const auto regions = call.server->shared_memory->list(request.name());
  if (!regions.ok()) return regions.status();
  for (const serving::SharedMemoryRegion& region : *regions) {
    auto& entry = (*response.mutable_regions())[region.name];
    entry.set_name(region.name);
    entry.set_key(region.key);
    entry.set_offset(region.offset);
    entry.set_byte_size(region.byte_size);
  }
  return absl::OkStatus();
}

absl::Status register_system_shared_memory(const CallContext& call,
                                           const inference::SystemSharedMemoryRegisterRequest& request,
                                           inference::SystemSharedMemoryRegisterResponse&) {
  return call.server->shared_memory->add(
      {request.name(), request.key(), request.offset(), request.byte_size()});
}

absl::Status unregister_system_shared_memory(const CallContext& call,
                                             const inference::SystemSharedMemoryUnregisterRequest& request,
                                             inference::SystemSharedMemoryUnregisterResponse&) {
  return call.server->shared_memory->remove(request.name());
}

absl::Status cuda_shared_memory_status(const CallContext& call,
                                       const inference::CudaSharedMemoryStatusRequest& request,
                                       inference::CudaSharedMemoryStatusResponse& response) {
  const auto regions = call.server->shared_memory->list_cuda(request.name());
  if (!regions.ok()) return regions.status();
  for (const serving::CudaSharedMemoryRegion& region : *regions) {
    auto& entry = (*response.mutable_regions())[region.name];
    entry.set_name(region.name);
    entry.set_device_id(static_cast<uint64_t>(region.device_id));
    entry.set_byte_size(region.byte_size);
  }
  return absl::OkStatus();
}

absl::Status register_cuda_shared_memory(const CallContext& call,
                                         const inference::CudaSharedMemoryRegisterRequest& request,
                                         inference::CudaSharedMemoryRegisterResponse&) {
  return call.server->shared_memory->add_cuda(
      {request.name(), request.raw_handle(), request.device_id(), request.byte_size()});
}

absl::Status unregister_cuda_shared_memory(const CallContext& call,
                                           const inference::CudaSharedMemoryUnregisterRequest& request,
                                           inference::CudaSharedMemoryUnregisterResponse&) {
  return call.server->shared_memory->remove_cuda(request.name());
}

absl::Status trace_setting(const CallContext& call, const inference::TraceSettingRequest& request,
                           inference::TraceSettingResponse& response) {
  const std::string& model = request.model_name();
  if (!model.empty() && absl::IsNotFound(call.server->registry->find(model, "").status())) {
    return absl::InvalidArgumentError(concat("Request for unknown model : ", model));
  }
  TraceValues changes;
  for (const auto& [name, setting] : request.settings()) {
    changes[name] = {setting.value().begin(), setting.value().end()};
  }
  Tracer& tracer = *call.server->tracer;
  if (absl::Status status = tracer.update(model, changes); !status.ok()) return status;
  for (const auto& [name, values] : tracer.get(model)) {
    auto& setting = (*response.mutable_settings())[name];
    for (const std::string& value : values) setting.add_value(value);
  }
  return absl::OkStatus();
}

absl::Status log_settings(const CallContext&, const inference::LogSettingsRequest& request,
                          inference::LogSettingsResponse& response) {
  LogSettings changes;
  for (const auto& [name, value] : request.settings()) {
    if (value.has_bool_param()) changes[name] = value.bool_param();
    if (value.has_uint32_param()) changes[name] = value.uint32_param();
    if (value.has_string_param()) changes[name] = value.string_param();
  }
  if (absl::Status status = update_log_settings(changes); !status.ok()) return status;
  for (const auto& [name, value] : server::log_settings()) {
    auto& setting = (*response.mutable_settings())[name];
    if (const auto* flag = std::get_if<bool>(&value)) setting.set_bool_param(*flag);
    if (const auto* number = std::get_if<uint32_t>(&value)) setting.set_uint32_param(*number);
    if (const auto* text = std::get_if<std::string>(&value)) setting.set_string_param(*text);
  }
  return absl::OkStatus();
}

}  // namespace zeta::server::grpc_api
