// What Triton's trace extension reads and changes.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "src/base/mutex.h"

namespace zeta::server {

using TraceValues = std::map<std::string, std::vector<std::string>, std::less<>>;

// The settings of the server and those in which a model differs from it. This server writes no traces: levels
// other than OFF are refused. Thread-safe.
class TraceSettings {
 public:
  // Those that hold for `model`; "": for the server.
  TraceValues get(std::string_view model) const ZETA_EXCLUDES(mutex_);

  // All or nothing. An empty list takes a setting back to that of the server, or to the server's first. What
  // is wrong is InvalidArgument, or Unimplemented where it cannot change while the server runs, in Triton's
  // words.
  absl::Status update(std::string_view model, const TraceValues& changes) ZETA_EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::map<std::string, TraceValues, std::less<>> changed_
      ZETA_GUARDED_BY(mutex_);  // by model, "" the server
};

}  // namespace zeta::server
