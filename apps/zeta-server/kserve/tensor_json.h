// Tensors as JSON, as in the KServe v2 protocol.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "src/serving/backend.h"

namespace zeta::server::kserve {

// `data` is an array, nested or flat, of as many elements as `shape` has. FP16 and BF16 have no JSON form.
// InvalidArgument names the tensor and what is wrong: a number that the type cannot hold, another kind of
// value, another count.
absl::StatusOr<serving::Buffer> read_tensor_data(const serving::TensorMetadata& tensor,
                                                 const boost::json::value& data);

// Appends the elements, comma-separated and without brackets. Internal when a value is NaN or infinite or the
// type has no JSON form.
absl::Status write_tensor_data(const serving::Tensor& tensor, std::string& out);

// Appends {"name":…,"datatype":…,"shape":[…] without closing it.
void write_tensor_head(const serving::Tensor& tensor, std::string& out);

// Appends {"name":…,"datatype":…,"shape":[…],"data":[…]}.
absl::Status write_tensor(const serving::Tensor& tensor, std::string& out);

}  // namespace zeta::server::kserve
