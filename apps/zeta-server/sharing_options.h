// The part of the command line for what models share: kept responses and limited resources.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/zeta-server/options.h"

namespace zeta::server {

// Options as they are typed, before they get their final types.
struct TypedSharing {
  std::vector<std::string> cache_config, rate_limit_resources;
  std::optional<uint64_t> cache_bytes;
  std::string rate_limit = "off";
};

// It outlives the parsing.
void add_sharing_options(CLI::App& app, TypedSharing& typed);

// To be called after parsing. Throws CLI::ValidationError.
void apply(const TypedSharing& typed, Options& options);

}  // namespace zeta::server
