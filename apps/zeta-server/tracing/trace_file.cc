#include "apps/zeta-server/tracing/trace_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "apps/zeta-server/tracing/trace_json.h"
#include "src/base/concat.h"
#include "src/base/log.h"

namespace zeta::server {
namespace {

bool write_at(int descriptor, std::string_view text, int64_t offset) {
  while (!text.empty()) {
    const ssize_t count = pwrite(descriptor, text.data(), text.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
    offset += count;
  }
  return true;
}

}  // namespace

TraceFile::~TraceFile() {
  close(whole_);
  close(part_);
}

void TraceFile::close(Output& output) {
  if (output.descriptor >= 0) ::close(output.descriptor);
  output = {};
}

bool TraceFile::write(const std::vector<serving::TraceRecord>& records) {
  bool good = true;
  std::string whole;
  for (const serving::TraceRecord& record : records) {
    if (record.log_frequency == 0) {
      whole += concat(whole.empty() ? "" : ",", trace_json(record));
      continue;
    }
    good = append(concat(path_, ".", part_number_), trace_json(record), part_) && good;
    if (++in_part_ < record.log_frequency) continue;
    close(part_);
    ++part_number_;
    in_part_ = 0;
  }
  return (whole.empty() || append(path_, whole, whole_)) && good;
}

// Over the closing bracket, which goes behind it again.
bool TraceFile::append(const std::string& path, const std::string& text, Output& output) {
  if (output.descriptor < 0) {
    output.descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    output.end = 0;
  }
  const std::string piece = concat(output.end == 0 ? "[" : ",", text, "]");
  if (output.descriptor >= 0 && write_at(output.descriptor, piece, output.end)) {
    output.end += static_cast<int64_t>(piece.size()) - 1;
    return true;
  }
  const int error = errno;
  if (output.descriptor >= 0 && output.end > 0) write_at(output.descriptor, "]", output.end);
  if (!complained_) log::error("cannot write traces", {{"file", path}, {"reason", std::strerror(error)}});
  complained_ = true;
  return false;
}

}  // namespace zeta::server
