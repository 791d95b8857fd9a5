// Element types under the names of model_config.proto.
#pragma once

#include "model_config.pb.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// REQUIRES: not TYPE_INVALID nor a value that the proto does not have.
DataType to_data_type(inference::DataType type);
inference::DataType to_proto(DataType type);

}  // namespace zeta::serving
