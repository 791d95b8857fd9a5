// zeta-server from start to end.
#pragma once

#include "apps/zeta-server/options.h"
#include "src/base/shutdown.h"

namespace zeta::server {

// Listens, loads the models, serves until `shutdown` says to end, finishes what is under way. Returns the
// exit code.
int run(const Options& options, Shutdown& shutdown);

}  // namespace zeta::server
