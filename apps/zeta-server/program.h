// zeta-server from start to end.
#pragma once

#include "src/base/shutdown.h"
#include "apps/zeta-server/options.h"

namespace zeta::server {

// Listens, loads the models, serves until `shutdown` says to end, finishes what is under way. Returns the
// exit code.
int run(const Options& options, Shutdown& shutdown);

}  // namespace zeta::server
