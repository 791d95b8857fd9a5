// The part of the command line for gRPC and for who may do what.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "apps/zeta-server/options.h"

namespace zeta::server {

// Options as they are typed, before they get their final types.
struct TypedNetwork {
  std::vector<std::string> http_restricted, grpc_restricted;
  std::string http_forwarded, grpc_forwarded;
  size_t infer_allocation_pool_size = 8;
};

// Both outlive the parsing.
void add_network_options(CLI::App& app, Options& options, TypedNetwork& typed);

// To be called after parsing. Throws CLI::ValidationError.
void apply(const TypedNetwork& typed, Options& options);

}  // namespace zeta::server
