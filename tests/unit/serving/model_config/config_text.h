// Configurations for tests.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "src/serving/model_config/check.h"
#include "src/serving/model_config/complete.h"
#include "src/serving/model_config/parse.h"

namespace zeta::serving {

inline constexpr char kTensors[] =
    "input { name: 'INPUT0' data_type: TYPE_FP32 dims: [2] }\n"
    "output { name: 'OUTPUT0' data_type: TYPE_FP32 dims: [2] }\n";

// Of a model "m", normalised.
inline inference::ModelConfig read_config(const std::string& text) {
  auto config = parse_model_config(text, "config.pbtxt");
  EXPECT_TRUE(config.ok()) << config.status();
  if (!config.ok()) return {};
  config->set_name("m");
  normalise_model_config(*config);
  return *config;
}

// What is wrong with it, "" for nothing.
inline std::string complaint(const std::string& text) {
  const inference::ModelConfig config = read_config(text);
  absl::Status status = check_scheduling(config);
  if (status.ok()) status = check_tensors(config);
  return std::string(status.message());
}

}  // namespace zeta::serving
