#include "apps/zeta-server/kserve/operations.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <initializer_list>
#include <string>
#include <utility>

#include "apps/zeta-server/base64.h"
#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/error.h"
#include "apps/zeta-server/kserve/json_fields.h"
#include "apps/zeta-server/settings/log_settings.h"
#include "apps/zeta-server/tracing/tracer.h"
#include "src/base/concat.h"
#include "src/serving/shared_memory.h"

namespace zeta::server::kserve {
namespace {

http::Response ok(const json::value& body) {
  http::Response response;
  response.body = json::serialize(body);
  return response;
}

http::Response done(const absl::Status& status) {
  if (!status.ok()) return error_response(status);
  return http::Response{};
}

// A parameter of the path, "" when it has none of that name.
std::string_view path_param(const http::Request& request, std::string_view name) {
  for (const auto& [key, value] : request.path_params) {
    if (key == name) return value;
  }
  return "";
}

absl::StatusOr<json::object> read_body(const http::Request& request) {
  auto parsed = parse_json(request.body.empty() ? "{}" : std::string_view(request.body));
  if (!parsed.ok()) return parsed.status();
  if (parsed->is_object()) return std::move(parsed->get_object());
  return absl::InvalidArgumentError("failed to parse the request JSON buffer: expected an object");
}

absl::Status check_fields(const json::object& body, std::initializer_list<std::string_view> needed) {
  for (const std::string_view field : needed) {
    if (body.contains(field)) continue;
    return absl::InvalidArgumentError(concat("Shared memory register request has no '", field, "' field"));
  }
  return absl::OkStatus();
}

absl::StatusOr<serving::SharedMemoryRegion> read_region(const http::Request& request) {
  const auto body = read_body(request);
  if (!body.ok()) return body.status();
  if (absl::Status status = check_fields(*body, {"key", "byte_size"}); !status.ok()) return status;
  auto key = read_string(*body, "key");
  if (!key.ok()) return key.status();
  const auto offset = read_size(*body, "offset");
  if (!offset.ok()) return offset.status();
  const auto size = read_size(*body, "byte_size");
  if (!size.ok()) return size.status();
  return serving::SharedMemoryRegion{std::string(path_param(request, "region")), *std::move(key),
                                     offset->value_or(0), size->value_or(0)};
}

absl::StatusOr<serving::CudaSharedMemoryRegion> read_cuda_region(const http::Request& request) {
  const auto body = read_body(request);
  if (!body.ok()) return body.status();
  absl::Status status = check_fields(*body, {"raw_handle", "device_id", "byte_size"});
  if (!status.ok()) return status;
  const auto wrapped = read_object(*body, "raw_handle");
  if (!wrapped.ok()) return wrapped.status();
  const auto text = read_string(**wrapped, "b64");
  if (!text.ok()) return text.status();
  auto handle = decode_base64(*text);
  if (!handle) return absl::InvalidArgumentError("expected 'raw_handle.b64' to be base64");
  const auto device = read_size(*body, "device_id");
  if (!device.ok()) return device.status();
  const auto size = read_size(*body, "byte_size");
  if (!size.ok()) return size.status();
  const auto number = static_cast<int64_t>(std::min<uint64_t>(device->value_or(0), INT64_MAX));
  return serving::CudaSharedMemoryRegion{std::string(path_param(request, "region")), *std::move(handle),
                                         number, size->value_or(0)};
}

absl::StatusOr<std::vector<std::string>> read_trace_value(std::string_view name, const json::value& value) {
  std::vector<std::string> texts;
  if (value.is_null()) return texts;
  const json::array one{value};
  for (const json::value& element : value.is_array() ? value.get_array() : one) {
    if (element.is_string()) {
      texts.emplace_back(to_view(element.get_string()));
    } else if (element.is_int64()) {
      texts.push_back(std::to_string(element.get_int64()));
    } else {
      return absl::InvalidArgumentError(concat("Unable to parse '", name, "': expected a string"));
    }
  }
  return texts;
}

json::object describe(const TraceValues& values) {
  json::object described;
  for (const auto& [name, texts] : values) {
    if (name != "trace_level") {
      described[name] = texts.front();
      continue;
    }
    json::array levels;
    for (const std::string& text : texts) levels.push_back(json::string(text));
    described[name] = std::move(levels);
  }
  return described;
}

absl::Status update_traces(const Context& context, std::string_view model, const http::Request& request) {
  const auto body = read_body(request);
  if (!body.ok()) return body.status();
  TraceValues changes;
  for (const auto& member : *body) {
    auto values = read_trace_value(member.key(), member.value());
    if (!values.ok()) return values.status();
    changes[std::string(member.key())] = *std::move(values);
  }
  return context.tracer->update(model, changes);
}

absl::Status update_log(const http::Request& request) {
  const auto body = read_body(request);
  if (!body.ok()) return body.status();
  LogSettings changes;
  for (const auto& member : *body) {
    const std::string name(member.key());
    const json::value& value = member.value();
    if (value.is_bool()) {
      changes[name] = value.get_bool();
    } else if (value.is_int64() && value.get_int64() >= 0 && value.get_int64() <= UINT32_MAX) {
      changes[name] = static_cast<uint32_t>(value.get_int64());
    } else if (value.is_string()) {
      changes[name] = std::string(to_view(value.get_string()));
    } else {
      return absl::InvalidArgumentError(
          concat("log setting '", name, "' must be a string, an integer of at least 0 or a boolean"));
    }
  }
  return update_log_settings(changes);
}

}  // namespace

http::Response system_shared_memory_status(const Context& context, const http::Request& request) {
  const auto regions = context.shared_memory->list(path_param(request, "region"));
  if (!regions.ok()) return error_response(regions.status());
  json::array list;
  for (const serving::SharedMemoryRegion& region : *regions) {
    list.push_back(json::object{{"name", region.name},
                                {"key", region.key},
                                {"offset", region.offset},
                                {"byte_size", region.byte_size}});
  }
  return ok(list);
}

http::Response register_system_shared_memory(const Context& context, const http::Request& request) {
  const auto region = read_region(request);
  return done(region.ok() ? context.shared_memory->add(*region) : region.status());
}

http::Response unregister_system_shared_memory(const Context& context, const http::Request& request) {
  return done(context.shared_memory->remove(path_param(request, "region")));
}

http::Response cuda_shared_memory_status(const Context& context, const http::Request& request) {
  const auto regions = context.shared_memory->list_cuda(path_param(request, "region"));
  if (!regions.ok()) return error_response(regions.status());
  json::array list;
  for (const serving::CudaSharedMemoryRegion& region : *regions) {
    list.push_back(json::object{
        {"name", region.name}, {"device_id", region.device_id}, {"byte_size", region.byte_size}});
  }
  return ok(list);
}

http::Response register_cuda_shared_memory(const Context& context, const http::Request& request) {
  const auto region = read_cuda_region(request);
  return done(region.ok() ? context.shared_memory->add_cuda(*region) : region.status());
}

http::Response unregister_cuda_shared_memory(const Context& context, const http::Request& request) {
  return done(context.shared_memory->remove_cuda(path_param(request, "region")));
}

http::Response trace_setting(const Context& context, const http::Request& request) {
  const std::string_view model = path_param(request, "model");
  if (!model.empty() && absl::IsNotFound(context.registry->find(model, "").status())) {
    return error_response(absl::InvalidArgumentError(concat("Request for unknown model : ", model)));
  }
  if (request.method == "POST") {
    if (absl::Status status = update_traces(context, model, request); !status.ok()) {
      return error_response(status);
    }
  }
  return ok(describe(context.tracer->get(model)));
}

http::Response logging(const http::Request& request) {
  if (request.method == "POST") {
    if (absl::Status status = update_log(request); !status.ok()) return error_response(status);
  }
  json::object settings;
  for (const auto& [name, value] : log_settings()) {
    std::visit([&, &key = name](const auto& setting) { settings[key] = setting; }, value);
  }
  return ok(settings);
}

}  // namespace zeta::server::kserve
