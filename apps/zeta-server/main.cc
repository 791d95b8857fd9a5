#include "apps/zeta-server/options.h"
#include "apps/zeta-server/program.h"
#include "src/base/shutdown.h"
#include "src/base/standard_streams.h"

int main(int argc, char** argv) {
  zeta::open_standard_streams();
  const auto parsed = zeta::server::parse_options(argc, argv);
  if (parsed.exit_code) return *parsed.exit_code;
  zeta::Shutdown shutdown;
  return zeta::server::run(parsed.options, shutdown);
}
