#include "src/serving/response_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "src/base/concat.h"
#include "src/serving/scheduling/batch_assembly.h"
#include "src/serving/tensor.h"

namespace zeta::serving {
namespace {

// With its length before it, so that no two lists of texts look the same.
void append(std::string& key, std::string_view text) {
  key.append(std::to_string(text.size())).append(":").append(text);
}

std::string text_of(const Parameter& parameter) {
  return std::visit(
      [&](const auto& value) -> std::string {
        const char kind = static_cast<char>('0' + parameter.index());
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
          return kind + value;
        } else {
          return kind + std::to_string(value);
        }
      },
      parameter);
}

size_t bytes_of(const std::string& key, const InferResponse& response) {
  constexpr size_t kBookkeeping = 256;
  size_t size = kBookkeeping + key.size();
  for (const Tensor& tensor : response.outputs) {
    size += kBookkeeping + tensor.name.size() + tensor.data.size + tensor.shape.size() * sizeof(int64_t);
  }
  for (const auto& [name, value] : response.parameters) size += name.size() + text_of(value).size();
  return size;
}

}  // namespace

std::optional<InferResponse> ResponseCache::find(std::string_view key) {
  MutexLock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->response;
}

void ResponseCache::insert(std::string key, const InferResponse& response) {
  const size_t size = bytes_of(key, response);
  if (size > capacity_) return;
  InferResponse copy = response;
  for (Tensor& tensor : copy.outputs) {
    const auto* data = reinterpret_cast<const char*>(tensor.data.data);
    tensor.data = make_buffer(tensor.data.size == 0 ? std::string() : std::string(data, tensor.data.size));
  }
  Entries dropped;  // destroyed without the lock
  MutexLock lock(mutex_);
  if (by_key_.contains(key)) return;  // another request was quicker
  while (size_ + size > capacity_) {
    const auto last = std::prev(entries_.end());
    by_key_.erase(last->key);
    size_ -= last->size;
    dropped.splice(dropped.end(), entries_, last);
  }
  entries_.push_front({std::move(key), std::move(copy), size});
  by_key_.emplace(entries_.front().key, entries_.begin());
  size_ += size;
}

size_t ResponseCache::size() const {
  MutexLock lock(mutex_);
  return size_;
}

std::string cache_key(std::string_view model, const InferRequest& request) {
  std::string key;
  append(key, model);
  std::vector<const Tensor*> inputs;
  inputs.reserve(request.inputs.size());
  for (const Tensor& tensor : request.inputs) inputs.push_back(&tensor);
  std::ranges::sort(inputs, {}, [](const Tensor* tensor) -> const std::string& { return tensor->name; });
  for (const Tensor* tensor : inputs) {
    append(key, tensor->name);
    append(key, concat(static_cast<int>(tensor->datatype), shape_text(tensor->shape)));
    append(key, {reinterpret_cast<const char*>(tensor->data.data), tensor->data.size});
  }
  key += "outputs";
  std::vector<std::string> outputs = request.requested_outputs;
  std::ranges::sort(outputs);
  for (const std::string& output : outputs) append(key, output);
  key += "parameters";
  for (const auto& [name, value] : request.parameters) {
    if (is_scheduling_parameter(name)) continue;
    append(key, name);
    append(key, text_of(value));
  }
  return key;
}

}  // namespace zeta::serving
