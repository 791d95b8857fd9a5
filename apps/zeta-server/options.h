// The command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/zeta-server/access.h"
#include "apps/zeta-server/grpc/options.h"
#include "apps/zeta-server/tracing/trace_options.h"
#include "src/base/log.h"
#include "src/http/limits.h"
#include "src/serving/registry.h"

namespace zeta::server {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;    // a port could not be had, or a model could not be loaded
inline constexpr int kExitBadUsage = 2;  // the command line, or what it names, is wrong

struct Options {
  serving::RegistryOptions registry;
  std::vector<std::string> models;       // FOLDER or NAME=FOLDER
  std::vector<std::string> load_models;  // of the repositories, with explicit control; "*": all
  std::chrono::seconds poll_interval{15};
  std::string model_copy_folder;  // where models of S3 repositories are kept; "": the system's
  uint64_t model_copy_limit = 0;  // bytes of them; 0: what there is room for
  std::string backend_directory;
  serving::ModelRegistry::BackendSettings backend_settings;
  size_t load_threads = 4;
  bool exit_on_error = true;

  std::string server_id = "triton";  // clients of Triton check for its name
  bool allow_http = true;
  std::string http_address = "0.0.0.0";
  uint16_t http_port = 8000;
  size_t http_threads = 0;
  http::Limits limits;

  double client_request_rate = 0;  // inference requests a second of one client; 0: no limit
  AccessRules http_access;
  std::shared_ptr<const HeaderPattern> http_forwarded_headers;  // null: none
  bool allow_client_shm = false;

  bool allow_grpc = true;
  grpc_api::Options grpc;

  bool allow_metrics = true;
  bool allow_gpu_metrics = true;
  std::chrono::milliseconds metrics_interval{2000};
  std::string metrics_address;  // empty: as http_address
  uint16_t metrics_port = 8002;

  std::chrono::milliseconds exit_timeout{30000};
  log::Settings log;
  TraceOptions traces;
};

// `exit_code` is set when the program is to end at once: help was asked for, or the line is wrong. What there
// is to say about it has been printed.
struct ParsedOptions {
  Options options;
  std::optional<int> exit_code;
};
ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace zeta::server
