#include "apps/zeta-server/options.h"
#include "apps/zeta-server/program.h"
#include "src/base/shutdown.h"
#include "src/base/standard_streams.h"

// Before the libraries start: gRPC's opens a descriptor then, which would take the place of a closed stream.
__attribute__((section(".preinit_array"),
               used)) void (*const before_libraries)() = zeta::open_standard_streams;

int main(int argc, char** argv) {
  const auto parsed = zeta::server::parse_options(argc, argv);
  if (parsed.exit_code) return *parsed.exit_code;
  zeta::Shutdown shutdown;
  return zeta::server::run(parsed.options, shutdown);
}
