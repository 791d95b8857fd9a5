// Filling in what a configuration leaves out.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model_config.pb.h"
#include "src/serving/backend.h"

namespace zeta::serving {

// Sets what Triton sets when a file does not say: platform and backend from each other, version policy, names
// and counts of instance groups, preferred batch sizes, the sequence batcher's idle time, the model's file.
void normalise_model_config(inference::ModelConfig& config);

// Inputs and outputs where the file names none, and the transaction policy, from what the loaded model tells
// clients of itself. InvalidArgument names model, tensor and both values where the two contradict each other.
absl::Status complete_model_config(const ModelMetadata& model, inference::ModelConfig& config);

// What clients are told: shapes with the batch dimension, the shapes of before `reshape`.
ModelMetadata client_metadata(const inference::ModelConfig& config, const std::string& version);

// What the model itself takes and gives: shapes with the batch dimension, after `reshape`, and what the
// server makes or keeps for it. Empty where the configuration names no input (or no output).
std::vector<TensorMetadata> model_inputs(const inference::ModelConfig& config);
std::vector<TensorMetadata> model_outputs(const inference::ModelConfig& config);

}  // namespace zeta::serving
