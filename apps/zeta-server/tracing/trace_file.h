// Files of traces in Triton's JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/serving/request_trace.h"

namespace zeta::server {

// After each write() the file is whole JSON, an array. Used by one thread.
class TraceFile {
 public:
  // Traces go to `path`, or, those with a log_frequency, that many a file to PATH.0, PATH.1 … A file that is
  // there is replaced.
  explicit TraceFile(std::string path) : path_(std::move(path)) {}
  ~TraceFile();
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  // False when something could not be written; the log says why, once.
  bool write(const std::vector<serving::TraceRecord>& records);

 private:
  struct Output {
    int descriptor = -1;
    int64_t end = 0;  // where the closing bracket stands
  };

  bool append(const std::string& path, const std::string& text, Output& output);
  static void close(Output& output);

  const std::string path_;
  Output whole_, part_;
  uint64_t part_number_ = 0, in_part_ = 0;
  bool complained_ = false;
};

}  // namespace zeta::server
