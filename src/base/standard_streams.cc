#include "src/base/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

namespace zeta {

void open_standard_streams() {
  int lowest_free = 0;
  do {
    lowest_free = open("/dev/null", O_RDWR);
  } while (lowest_free >= 0 && lowest_free <= STDERR_FILENO);
  if (lowest_free > STDERR_FILENO) close(lowest_free);
}

}  // namespace zeta
