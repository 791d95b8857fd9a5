#include "apps/zeta-server/tracing/trace_json.h"

#include <algorithm>
#include <charconv>

#include "apps/zeta-server/kserve/tensor_json.h"
#include "src/base/concat.h"
#include "src/base/json_string.h"
#include "src/serving/data_type.h"

namespace zeta::server {
namespace {

constexpr size_t kMaxText = 1 << 20;

void append_head(const serving::TraceRecord& record, std::string& out) {
  out += concat("{\"id\":", record.id, ",\"model_name\":");
  append_json_string(out, record.model);
  int64_t version = -1;
  std::from_chars(record.version.data(), record.version.data() + record.version.size(), version);
  out += concat(",\"model_version\":", version);
  if (!record.request_id.empty()) {
    out += ",\"request_id\":";
    append_json_string(out, record.request_id);
  }
  if (record.parent_id != 0) out += concat(",\"parent_id\":", record.parent_id);
  out += '}';
}

void append_tensor(uint64_t id, const serving::TracedTensor& traced, std::string& out) {
  const serving::Tensor& tensor = traced.tensor;
  std::string data, shape;
  if (!kserve::write_tensor_data(tensor, data).ok()) data.clear();
  data.resize(std::min(data.size(), kMaxText));
  for (const int64_t size : tensor.shape) shape += concat(shape.empty() ? "" : ",", size);
  out += concat(",{\"id\":", id, ",\"activity\":\"", traced.activity, "\",\"tensor\":{\"name\":");
  append_json_string(out, tensor.name);
  out += ",\"data\":";
  append_json_string(out, data);
  out += concat(",\"shape\":\"", shape, "\",\"dtype\":\"", serving::data_type_name(tensor.datatype), "\"}}");
}

}  // namespace

std::string trace_json(const serving::TraceRecord& record) {
  std::string out;
  append_head(record, out);
  for (const serving::TraceEvent& event : record.events) {
    const auto time = std::chrono::duration_cast<std::chrono::nanoseconds>(event.time.time_since_epoch());
    out += concat(",{\"id\":", record.id, ",\"timestamps\":[{\"name\":\"", event.name,
                  "\",\"ns\":", static_cast<int64_t>(time.count()), "}]}");
  }
  for (const serving::TracedTensor& tensor : record.traced) append_tensor(record.id, tensor, out);
  return out;
}

}  // namespace zeta::server
