// How a server learns that it should end.
#pragma once

#include <string>

#include "src/base/mutex.h"

namespace zeta {

// Turns SIGTERM and SIGINT into something a thread can wait for. Construct one at the start of main, before
// any other thread: it blocks the two signals in this thread and so in all that follow. SIGPIPE is ignored.
class Shutdown {
 public:
  Shutdown();

  // Returns why to end: a signal's name or the reason given to request(). From then on a further signal ends
  // the process at once. Call once, from the constructing thread.
  std::string wait();

  // Makes wait() return. Any thread.
  void request(std::string reason) ZETA_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::string reason_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta
