// What an echo model does, from `echo.json` in its folder, or the file that its configuration names.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::echo {

struct Settings {
  enum class Kind {
    kIdentity,  // INPUT0 → OUTPUT0
    kRepeat,    // INPUT0 → OUTPUT0, `times` times: a decoupled model
    kCount,     // INPUT0 → OUTPUT0 in as many steps as it says, counted in the sequence's state
    kText,      // a generative model that says its prompt, one word a token
  };
  Kind kind = Kind::kIdentity;
  serving::DataType datatype = serving::DataType::kFp32;  // "datatype", of identity and repeat
  std::vector<int64_t> shape{
      -1};  // "shape", of identity and repeat; batched: with the batch, if it has more than one dimension
  int64_t times = 2;                   // "times"
  std::chrono::milliseconds delay{0};  // "delay_ms", before each response; batched: of each execution
  std::chrono::milliseconds load{0};   // "load_ms": how long loading takes
  int64_t max_in_flight = 1024;        // "max_in_flight", of text: further requests are refused
  int64_t context = 4096;              // "context", of text: prompt and completion in words
};

// InvalidArgument names the file and the field that is unknown or wrong.
absl::StatusOr<Settings> read_settings(const std::string& folder, const std::string& file_name);

}  // namespace zeta::echo
