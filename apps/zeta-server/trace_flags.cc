#include "apps/zeta-server/trace_flags.h"

#include "src/base/concat.h"

namespace zeta::server {

void add_trace_options(CLI::App& app, TypedTraces& typed) {
  const auto group = "Traces";
  app.add_option("--trace-config", typed.config,
                 "SETTING=VALUE of rate, level, count, mode; triton,SETTING=VALUE of file, log-frequency; "
                 "opentelemetry,SETTING=VALUE of url, resource, bsp_* (repeatable)")
      ->group(group)
      ->take_all();
  app.add_option("--trace-level", typed.levels, "As --trace-config level= (repeatable)")
      ->group(group)
      ->take_all();
  app.add_option("--trace-file", typed.file, "As --trace-config triton,file=")->group(group);
  app.add_option("--trace-rate", typed.rate, "As --trace-config rate=")->group(group);
  app.add_option("--trace-count", typed.count, "As --trace-config count=")->group(group);
  app.add_option("--trace-log-frequency", typed.log_frequency, "As --trace-config triton,log-frequency=")
      ->group(group);
}

TraceOptions to_trace_options(const TypedTraces& typed) {
  std::vector<std::string> texts;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) texts.push_back(concat(name, "=", value));
  };
  for (const std::string& level : typed.levels) {
    // Triton's older names of levels.
    add("level", level == "MIN" || level == "MAX" ? "TIMESTAMPS" : level);
  }
  add("triton,file", typed.file);
  add("rate", typed.rate);
  add("count", typed.count);
  add("triton,log-frequency", typed.log_frequency);
  texts.insert(texts.end(), typed.config.begin(), typed.config.end());
  auto options = read_trace_options(texts);
  if (!options.ok()) throw CLI::ValidationError("--trace-config", std::string(options.status().message()));
  return *std::move(options);
}

}  // namespace zeta::server
