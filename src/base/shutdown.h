// How a server learns that it should end.
#pragma once

#include <functional>
#include <string>

#include "src/base/mutex.h"

namespace zeta {

// Turns SIGTERM and SIGINT into something a thread can wait for. Construct one at the start of main, before
// any other thread: it blocks the two signals and SIGHUP in this thread and so in all that follow. SIGPIPE is
// ignored.
class Shutdown {
 public:
  Shutdown();

  // Returns why to end: a signal's name or the reason given to request(). From then on a further signal ends
  // the process at once. Call once, from the constructing thread; at each SIGHUP that comes meanwhile it
  // calls `hang_up`, and without one SIGHUP ends the wait as the other signals do.
  std::string wait(const std::function<void()>& hang_up = nullptr);

  // Makes wait() return. Any thread.
  void request(std::string reason) ZETA_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::string reason_ ZETA_GUARDED_BY(mutex_);
};

}  // namespace zeta
