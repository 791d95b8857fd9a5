#include "apps/zeta-server/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <thread>
#include <utility>

#include "apps/zeta-server/network_options.h"
#include "apps/zeta-server/sharing_options.h"
#include "apps/zeta-server/trace_flags.h"
#include "apps/zeta-server/triton_flags.h"
#include "src/base/concat.h"
#include "src/base/nearest.h"

namespace zeta::server {
namespace {

constexpr char kFooter[] =
    "SIGHUP reads the TLS certificates anew.\n"
    "Exit codes: 0 ended as asked (SIGTERM, SIGINT); 1 a port could not be had or a model could not be "
    "loaded;\n"
    "2 wrong command line, or a folder that it names cannot be read.";

constexpr double kMinSeconds = 0.001, kMaxSeconds = 366.0 * 24 * 60 * 60;

// A duration: from a millisecond to a year, or where `or_zero` exactly 0.
CLI::Validator seconds(bool or_zero) {
  return CLI::Validator(
      [or_zero](const std::string& text) -> std::string {
        double value = 0;
        const char* end = text.data() + text.size();
        const bool number = std::from_chars(text.data(), end, value) == std::from_chars_result{end, {}};
        if (number && ((or_zero && value == 0) || (value >= kMinSeconds && value <= kMaxSeconds))) return "";
        return concat("expected seconds from 0.001 to ", static_cast<int64_t>(kMaxSeconds),
                      or_zero ? " or 0" : "", ", got ", text);
      },
      "SECONDS");
}

// Options as they are typed, before they get their final types.
struct Typed {
  std::vector<std::string> backend_config;
  std::optional<int64_t> max_num_seqs, max_model_len, threads;
  double idle_timeout = 75, read_timeout = 30, request_timeout = 0, exit_timeout = 30;
  int log_verbose = 0;
  int poll_seconds = 15;
  int metrics_interval = 2000;
  std::string control_mode = "none";
  std::string log_format = "default";
};

std::string default_backend_directory() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return (program.parent_path().parent_path() / "lib").string();
}

serving::Parameter to_parameter(const std::string& text) {
  const char* end = text.data() + text.size();
  int64_t integer = 0;
  if (std::from_chars(text.data(), end, integer) == std::from_chars_result{end, {}}) return integer;
  double number = 0;
  if (std::from_chars(text.data(), end, number) == std::from_chars_result{end, {}}) return number;
  if (text == "true" || text == "false") return text == "true";
  return text;
}

void add_model_options(CLI::App& app, Options& options, Typed& typed) {
  const auto group = "Models";
  app.add_option("--model-repository,--model-store", options.registry.repositories,
                 "Folder of models in Triton's layout, or s3://[HOST:PORT/]BUCKET[/PATH] (repeatable)")
      ->group(group)
      ->take_all();
  app.add_option("--model", options.models,
                 "A Hugging Face folder, or one model of a repository: [NAME=]FOLDER (repeatable)")
      ->group(group)
      ->take_all();
  app.add_option("--model-control-mode", typed.control_mode,
                 "none: what is there at the start; explicit: --load-model and the load API; poll: what "
                 "comes and goes")
      ->group(group)
      ->check(CLI::IsMember({"none", "explicit", "poll"}))
      ->capture_default_str();
  app.add_option("--load-model", options.load_models,
                 "With explicit control: load it at the start; *: all (repeatable)")
      ->group(group)
      ->take_all();
  app.add_option("--repository-poll-secs", typed.poll_seconds, "With poll control: seconds between looks")
      ->group(group)
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--model-copy-folder", options.model_copy_folder,
                 "Where models of S3 repositories are kept while loaded [TRITON_AWS_MOUNT_DIRECTORY or /tmp]")
      ->group(group);
  app.add_option("--model-copy-limit", options.model_copy_limit,
                 "Most bytes of them; 0: what there is room for")
      ->group(group)
      ->capture_default_str();
  app.add_option("--strict-readiness", options.registry.strict_readiness,
                 "Ready only while every model is; false: once the start is over")
      ->group(group)
      ->capture_default_str();
  app.add_option("--max-num-seqs", typed.max_num_seqs, "Backend zeta: most sequences generated at once")
      ->group(group)
      ->check(CLI::PositiveNumber);
  app.add_option("--max-model-len", typed.max_model_len, "Backend zeta: most tokens of prompt and answer")
      ->group(group)
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", typed.threads, "Backend zeta: threads that compute")
      ->group(group)
      ->check(CLI::PositiveNumber);
  app.add_option("--backend-config", typed.backend_config,
                 "Setting of a backend: BACKEND,KEY=VALUE (repeatable)")
      ->group(group)
      ->take_all();
  app.add_option("--backend-directory", options.backend_directory, "Where libzeta_backend_*.so are")
      ->group(group)
      ->capture_default_str();
  app.add_option("--model-load-thread-count", options.load_threads, "Models loaded at once")
      ->group(group)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--exit-on-error", options.exit_on_error, "End when a model cannot be loaded at start")
      ->group(group)
      ->capture_default_str();
}

void add_http_options(CLI::App& app, Options& options, Typed& typed) {
  const auto group = "HTTP";
  app.add_option("--allow-http", options.allow_http, "Serve KServe v2 and OpenAI over HTTP")
      ->group(group)
      ->capture_default_str();
  app.add_option("--http-port", options.http_port, "Port of KServe v2 and OpenAI; 0: a free one")
      ->group(group)
      ->check(CLI::Range(0, UINT16_MAX))
      ->capture_default_str();
  app.add_option("--http-address", options.http_address, "IP address to listen on")
      ->group(group)
      ->capture_default_str();
  app.add_option("--http-thread-count", options.http_threads, "Threads that serve connections")
      ->group(group)
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--http-max-input-size", options.limits.body_bytes, "Largest request body in bytes")
      ->group(group)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-connections", options.limits.connections,
                 "Of each port; beyond it all but health and metrics get status 503")
      ->group(group)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--idle-timeout", typed.idle_timeout, "Seconds until an idle connection is closed")
      ->group(group)
      ->check(seconds(false))
      ->capture_default_str();
  app.add_option("--read-timeout", typed.read_timeout, "Seconds for a request to arrive, plus 1 per 64 KiB")
      ->group(group)
      ->check(seconds(false))
      ->capture_default_str();
  app.add_option("--request-timeout", typed.request_timeout, "Seconds for an answer; 0: no limit")
      ->group(group)
      ->check(seconds(true))
      ->capture_default_str();
}

void add_operation_options(CLI::App& app, Options& options, Typed& typed) {
  const auto metrics = "Metrics";
  app.add_option("--allow-metrics", options.allow_metrics, "Serve /metrics for Prometheus")
      ->group(metrics)
      ->capture_default_str();
  app.add_option("--metrics-port", options.metrics_port, "Port of /metrics; 0: a free one")
      ->group(metrics)
      ->check(CLI::Range(0, UINT16_MAX))
      ->capture_default_str();
  app.add_option("--metrics-address", options.metrics_address, "IP address of /metrics [as --http-address]")
      ->group(metrics);
  app.add_option("--allow-gpu-metrics", options.allow_gpu_metrics, "With them nv_gpu_*, where there are GPUs")
      ->group(metrics)
      ->capture_default_str();
  app.add_option("--metrics-interval-ms", typed.metrics_interval, "Milliseconds between readings of the GPUs")
      ->group(metrics)
      ->check(CLI::Range(1, 86'400'000))
      ->capture_default_str();
  const auto operation = "Operation";
  app.add_option("--exit-timeout-secs", typed.exit_timeout, "Seconds that requests under way get at the end")
      ->group(operation)
      ->check(seconds(true))
      ->capture_default_str();
  app.add_option("--log-verbose", typed.log_verbose, "1: a line for each request")
      ->group(operation)
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--log-format", typed.log_format, "default or ISO8601, which are the same here, or json")
      ->group(operation)
      ->check(CLI::IsMember({"default", "ISO8601", "json"}))
      ->capture_default_str();
  app.add_option("--log-file", options.log.file, "Write the log there [standard error]")->group(operation);
}

void add_backend_config(const std::string& text, Options& options) {
  const size_t comma = text.find(',');
  const size_t equals = text.find('=', comma == std::string::npos ? 0 : comma);
  if (comma == std::string::npos || equals == std::string::npos || comma == 0 || equals == comma + 1) {
    throw CLI::ValidationError("--backend-config", "expected BACKEND,KEY=VALUE, got '" + text + "'");
  }
  options.backend_settings[text.substr(0, comma)][text.substr(comma + 1, equals - comma - 1)] =
      to_parameter(text.substr(equals + 1));
}

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

void apply_control(const Typed& typed, Options& options) {
  using serving::ModelControl;
  options.registry.control = typed.control_mode == "explicit" ? ModelControl::kExplicit
                             : typed.control_mode == "poll"   ? ModelControl::kPoll
                                                              : ModelControl::kNone;
  options.poll_interval = std::chrono::seconds(typed.poll_seconds);
  if (options.load_models.empty() || options.registry.control == ModelControl::kExplicit) return;
  throw CLI::ValidationError("--load-model", "needs --model-control-mode=explicit");
}

void apply(const Typed& typed, Options& options) {
  for (const std::string& setting : typed.backend_config) add_backend_config(setting, options);
  auto set = [&](const char* key, const std::optional<int64_t>& value) {
    if (value) options.backend_settings["zeta"][key] = *value;
  };
  set("max_num_seqs", typed.max_num_seqs);
  set("max_model_len", typed.max_model_len);
  set("num_threads", typed.threads);
  options.limits.idle_timeout = milliseconds(typed.idle_timeout);
  options.limits.read_timeout = milliseconds(typed.read_timeout);
  options.limits.request_timeout = milliseconds(typed.request_timeout);
  options.exit_timeout = milliseconds(typed.exit_timeout);
  options.metrics_interval = std::chrono::milliseconds(typed.metrics_interval);
  if (typed.log_verbose > 0) options.log.level = log::Level::kVerbose;
  if (typed.log_format == "json") options.log.format = log::Format::kJson;
  if (options.model_copy_folder.empty()) {
    const char* const folder = std::getenv("TRITON_AWS_MOUNT_DIRECTORY");
    if (folder != nullptr) options.model_copy_folder = folder;
  }
  if (options.metrics_address.empty()) options.metrics_address = options.http_address;
  apply_control(typed, options);
  if (options.registry.repositories.empty() && options.models.empty()) {
    throw CLI::RequiredError("--model-repository FOLDER or --model [NAME=]FOLDER");
  }
}

// CLI11's own complaint does not say what was meant.
void refuse_extras(const CLI::App& app) {
  if (app.remaining_size() == 0) return;
  const std::string argument = app.remaining().front();
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  const std::string_view meant = nearest(argument.substr(0, argument.find('=')), known);
  const std::string hint = meant.empty() ? "" : concat("; did you mean ", meant, "?");
  throw CLI::ParseError(concat("unknown argument ", argument, hint), CLI::ExitCodes::ExtrasError);
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  options.backend_directory = default_backend_directory();
  options.http_threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 8);
  Typed typed;
  TypedSharing typed_sharing;
  TypedNetwork typed_network;
  // The name it was started by: zeta-server or tritonserver.
  const std::string name = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "zeta-server";
  CLI::App app("zeta-server: serves models over KServe v2 (HTTP, gRPC) and OpenAI HTTP", name);
  app.footer(kFooter);
  app.allow_extras();
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return concat("zeta-server: ", error.what(), " (see --help)\n");
  });
  app.set_version_flag("--version", ZETA_VERSION);
  add_model_options(app, options, typed);
  add_sharing_options(app, typed_sharing);
  add_http_options(app, options, typed);
  add_network_options(app, options, typed_network);
  add_operation_options(app, options, typed);
  TypedTraces typed_traces;
  add_trace_options(app, typed_traces);
  TypedTriton typed_triton;
  add_triton_options(app, options, typed_triton);
  try {
    app.parse(argc, argv);
    refuse_extras(app);
    apply(typed, options);
    apply(typed_sharing, options);
    apply(typed_network, options);
    apply(typed_triton, options);
    options.traces = to_trace_options(typed_traces);
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = app.exit(error) == 0 ? kExitOk : kExitBadUsage;
  }
  return parsed;
}

}  // namespace zeta::server
