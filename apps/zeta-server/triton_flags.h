// Flags that deployments of Triton pass, and that say little or nothing here.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "apps/zeta-server/options.h"

namespace zeta::server {

// What is typed and has no place in Options.
struct TypedTriton {
  bool log_info = true, log_warning = true, log_error = true;
  bool strict_model_config = false, disable_auto_complete = false, reuse_http_port = false,
       reuse_grpc_port = false;
  std::vector<std::string> ignored;
};

// Both outlive the parsing.
void add_triton_options(CLI::App& app, Options& options, TypedTriton& typed);

// To be called after parsing. Throws CLI::ValidationError for what cannot be had.
void apply(const TypedTriton& typed, Options& options);

}  // namespace zeta::server
