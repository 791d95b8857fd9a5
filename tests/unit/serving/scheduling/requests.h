// Requests for the schedulers' tests: FP32 tensors of which each item's value tells who sent it.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/serving/backend.h"
#include "src/serving/scheduling/pending_request.h"
#include "src/serving/tensor.h"

namespace zeta::serving {

inline Tensor floats(std::string name, std::vector<int64_t> shape, const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {std::move(name), DataType::kFp32, std::move(shape), make_buffer(std::move(bytes))};
}

inline std::vector<float> values_of(const Tensor& tensor) {
  std::vector<float> values(tensor.data.size / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), tensor.data.data, tensor.data.size);
  return values;
}

// `items` items of `width` values, all `value`.
inline std::shared_ptr<InferRequest> float_request(float value, int64_t items = 1, int64_t width = 1,
                                                   Parameters parameters = {}) {
  auto request = std::make_shared<InferRequest>();
  request->inputs = {
      floats("X", {items, width}, std::vector<float>(static_cast<size_t>(items * width), value))};
  request->parameters = std::move(parameters);
  return request;
}

inline PendingRequest pending(std::shared_ptr<const InferRequest> request, SchedulerClock::time_point arrival,
                              std::shared_ptr<ResponseSink> sink = nullptr) {
  PendingRequest waiting;
  waiting.batch_size = request->inputs.front().shape.front();
  waiting.compatibility = std::to_string(request->inputs.front().shape.back());
  waiting.priority = *unsigned_parameter(*request, "priority");
  waiting.arrival = arrival;
  waiting.request = std::move(request);
  waiting.sink = std::move(sink);
  return waiting;
}

}  // namespace zeta::serving
