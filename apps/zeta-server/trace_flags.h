// The part of the command line for traces.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "apps/zeta-server/tracing/trace_options.h"

namespace zeta::server {

// As typed; the older flags have the names that Triton once gave them.
struct TypedTraces {
  std::vector<std::string> config, levels;
  std::string file, rate, count, log_frequency;
};

// `typed` outlives the parsing.
void add_trace_options(CLI::App& app, TypedTraces& typed);

// To be called after parsing. Throws CLI::ValidationError.
TraceOptions to_trace_options(const TypedTraces& typed);

}  // namespace zeta::server
