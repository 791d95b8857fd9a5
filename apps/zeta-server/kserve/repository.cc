#include "apps/zeta-server/kserve/repository.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <functional>
#include <string>
#include <utility>

#include "apps/zeta-server/base64.h"
#include "apps/zeta-server/json.h"
#include "apps/zeta-server/kserve/error.h"
#include "src/base/concat.h"
#include "src/http/mailbox.h"

namespace zeta::server::kserve {
namespace {

using http::asio::awaitable;

template <class... Parts>
absl::Status invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(concat(parts...));
}

// An empty body is an empty object.
absl::StatusOr<json::object> read_object(std::string_view body) {
  if (body.empty()) return json::object();
  auto parsed = parse_json(body);
  if (!parsed.ok()) return parsed.status();
  if (!parsed->is_object()) return invalid("failed to parse the request JSON buffer: expected an object");
  return parsed->get_object();
}

absl::StatusOr<json::object> read_parameters_object(std::string_view body) {
  const auto object = read_object(body);
  if (!object.ok()) return object.status();
  const auto* parameters = object->if_contains("parameters");
  if (parameters == nullptr) return json::object();
  if (!parameters->is_object()) return invalid("Unable to parse 'parameters': expected an object");
  return parameters->get_object();
}

bool names_repository(const http::Request& request) {
  for (const auto& [name, value] : request.path_params) {
    if (name == "repository") return true;
  }
  return false;
}

// Runs what blocks on another thread and waits for it without holding up the connections.
awaitable<absl::Status> elsewhere(std::shared_ptr<const Context> context, http::Connection& connection,
                                  std::function<absl::Status(serving::ModelRegistry&)> work) {
  auto mailbox = std::make_shared<http::Mailbox<absl::Status>>(connection.executor());
  context->control_threads->run([registry = context->registry, mailbox, work = std::move(work)] {
    const auto change = [&] { return work(*registry); };
    mailbox->put(status_of(change));
  });
  const auto results = co_await mailbox->take();
  co_return results.front();
}

http::Response to_response(const absl::Status& status) {
  if (!status.ok()) return error_response(status);
  http::Response response;
  response.content_type.clear();
  return response;
}

http::Response repository_name_refused() {
  return error_response(absl::UnimplementedError("'repository_name' specification is not supported"));
}

}  // namespace

http::Response repository_index(const Context& context, const http::Request& request) {
  const auto object = read_object(request.body);
  if (!object.ok()) return error_response(object.status());
  bool ready_only = false;
  if (const auto* value = object->if_contains("ready")) {
    if (!value->is_bool()) return error_response(400, "Unable to parse 'ready': expected a boolean");
    ready_only = value->get_bool();
  }
  json::array list;
  for (const serving::ModelStatus& model : context.registry->index()) {
    if (ready_only && model.state != serving::ModelState::kReady) continue;
    json::object entry{{"name", model.name}};
    if (!model.version.empty()) {
      entry["version"] = model.version;
      entry["state"] = serving::model_state_name(model.state);
    }
    if (!model.reason.empty()) entry["reason"] = model.reason;
    list.push_back(std::move(entry));
  }
  http::Response response;
  response.body = json::serialize(list);
  return response;
}

absl::StatusOr<serving::LoadOverrides> read_overrides(std::string_view body) {
  const auto parameters = read_parameters_object(body);
  if (!parameters.ok()) return parameters.status();
  serving::LoadOverrides overrides;
  for (const auto& member : *parameters) {
    const std::string_view key = member.key();
    if (!member.value().is_string()) return invalid("load parameter '", key, "': expected a string");
    const std::string_view value = to_view(member.value().get_string());
    if (key == "config") {
      overrides.config_json = value;
    } else if (constexpr std::string_view kFile = "file:"; key.starts_with(kFile)) {
      auto content = decode_base64(value);
      if (!content) return invalid("load parameter '", key, "': expected base64");
      overrides.files[std::string(key.substr(kFile.size()))] = *std::move(content);
    } else {
      return invalid("unrecognized load parameter '", key, "': expected 'config' or 'file:PATH'");
    }
  }
  return overrides;
}

awaitable<http::Response> load_model(std::shared_ptr<const Context> context, http::Request& request) {
  if (names_repository(request)) co_return repository_name_refused();
  auto overrides = read_overrides(request.body);
  if (!overrides.ok()) co_return error_response(overrides.status());
  std::function<absl::Status(serving::ModelRegistry&)> load =
      [name = request.path_param("model"), given = *std::move(overrides)](serving::ModelRegistry& registry) {
        return registry.load(name, given);
      };
  const absl::Status status = co_await elsewhere(context, *request.connection, std::move(load));
  co_return to_response(status);
}

awaitable<http::Response> unload_model(std::shared_ptr<const Context> context, http::Request& request) {
  if (names_repository(request)) co_return repository_name_refused();
  const auto parameters = read_parameters_object(request.body);
  if (!parameters.ok()) co_return error_response(parameters.status());
  bool dependents = false;
  for (const auto& member : *parameters) {
    if (member.key() != "unload_dependents" || !member.value().is_bool()) {
      co_return error_response(invalid("unload parameter '", std::string_view(member.key()),
                                       "': expected 'unload_dependents', a boolean"));
    }
    dependents = member.value().get_bool();
  }
  std::function<absl::Status(serving::ModelRegistry&)> unload =
      [name = request.path_param("model"), dependents](serving::ModelRegistry& registry) {
        return registry.unload(name, dependents);
      };
  const absl::Status status = co_await elsewhere(context, *request.connection, std::move(unload));
  co_return to_response(status);
}

}  // namespace zeta::server::kserve
