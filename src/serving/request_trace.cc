#include "src/serving/request_trace.h"

#include <utility>

namespace zeta::serving {

size_t TraceRecord::bytes() const {
  size_t size = sizeof(*this) + model.size() + version.size() + request_id.size() + context.state.size() +
                events.capacity() * sizeof(TraceEvent);
  for (const TracedTensor& one : traced) size += sizeof(one) + one.tensor.data.size;
  return size;
}

void RequestTrace::note(std::string_view name, Clock::time_point time) {
  MutexLock lock(mutex_);
  if (record_.timestamps) record_.events.push_back({name, time});
}

void RequestTrace::name(const std::string& model, const std::string& version, const std::string& request_id) {
  MutexLock lock(mutex_);
  record_.model = model;
  record_.version = version;
  record_.request_id = request_id;
}

void RequestTrace::note_tensors(std::string_view activity, const std::vector<Tensor>& tensors) {
  MutexLock lock(mutex_);
  if (!record_.tensors) return;
  for (const Tensor& tensor : tensors) record_.traced.push_back({activity, tensor});
}

void RequestTrace::fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  record_.status = status;
}

std::shared_ptr<RequestTrace> RequestTrace::child() {
  TraceRecord record;
  {
    MutexLock lock(mutex_);
    record.context = record_.context;
    record.context.parent_span = record_.model_span;
    record.parent_id = record_.id;
    record.timestamps = record_.timestamps;
    record.tensors = record_.tensors;
    record.log_frequency = record_.log_frequency;
  }
  record.id = next_id_();
  return std::make_shared<RequestTrace>(std::move(record), next_id_, finish_);
}

}  // namespace zeta::serving
