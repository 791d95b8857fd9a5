// Tensors of a model folder, checked against what the architecture expects of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "src/nn/weight_store.h"

namespace zeta::nn {

// Tensors alias the store's memory. Only what has the wrong dtype or alignment is copied, and that is
// counted. All complaints are ModelErrors that name file and tensor.
class WeightLoader {
 public:
  WeightLoader(WeightStore& store, at::ScalarType dtype) : store_(store), dtype_(dtype) {}

  at::ScalarType dtype() const { return dtype_; }  // of activations and of what is not packed
  size_t copied_bytes() const { return copied_bytes_; }

  // A floating-point tensor of this shape, in dtype().
  at::Tensor floating(const std::string& name, const std::vector<int64_t>& shape);
  // Scales of this shape, fp32 or bf16 as stored; fp16 becomes fp32. Each must be finite and not 0.
  at::Tensor scales(const std::string& name, const std::vector<int64_t>& shape);
  // A tensor of exactly this dtype and shape.
  at::Tensor exact(const std::string& name, const std::vector<int64_t>& shape, StoredType type);
  // The elements of an integer vector of this length.
  std::vector<int64_t> integers(const std::string& name, int64_t length);
  // The one element of a floating-point tensor, which must be finite and positive.
  double positive_scalar(const std::string& name);

  [[noreturn]] void fail(const std::string& name, const std::string& problem) const;

 private:
  at::Tensor alias(const TensorBytes& stored);
  at::Tensor floating_as_stored(const std::string& name, const std::vector<int64_t>& shape);
  at::Tensor converted(const at::Tensor& tensor, at::ScalarType dtype);

  WeightStore& store_;
  at::ScalarType dtype_;
  size_t copied_bytes_ = 0;
};

// The dtype of a stored tensor as ATen calls it; ModelError for those without an equal.
at::ScalarType scalar_type_of(const TensorBytes& stored);

}  // namespace zeta::nn
