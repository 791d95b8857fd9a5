// Which APIs need a secret header, and which headers reach the models.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace zeta::server {

// The groups of calls that Triton's --http-restricted-api and --grpc-restricted-protocol tell apart.
enum class Api {
  kHealth,
  kMetadata,
  kInference,
  kSharedMemory,
  kModelConfig,
  kModelRepository,
  kStatistics,
  kTrace,
  kLogging,
};
inline constexpr size_t kApis = 9;

struct AccessRule {
  std::string header;
  std::string value;
};

// Filled at start, then read from any thread.
class AccessRules {
 public:
  // `text`: "API[,API…]:HEADER=VALUE" with the names health, metadata, inference, shared-memory,
  // model-config, model-repository, statistics, trace and logging. InvalidArgument says what is wrong; an API
  // has one rule at most.
  absl::Status add(std::string_view text);

  // null: free for all.
  const AccessRule* find(Api api) const {
    const auto& rule = rules_[static_cast<size_t>(api)];
    return rule ? &*rule : nullptr;
  }

 private:
  std::array<std::optional<AccessRule>, kApis> rules_;
};

// So that the time it takes does not tell how much of a secret is right.
bool equal_in_constant_time(std::string_view a, std::string_view b);

// A regular expression over whole header names, matched without case and in linear time. Thread-safe.
class HeaderPattern {
 public:
  // InvalidArgument says what is wrong with the expression (RE2's syntax).
  static absl::StatusOr<std::shared_ptr<const HeaderPattern>> make(const std::string& expression);
  virtual ~HeaderPattern() = default;
  virtual bool matches(std::string_view header) const = 0;
};

}  // namespace zeta::server
