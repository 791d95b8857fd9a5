// Who the server says it is.
#pragma once

#include <string_view>

namespace zeta::server {

inline constexpr std::string_view kServerVersion = ZETA_VERSION;

// Triton's extensions of KServe v2 that are there.
inline constexpr std::string_view kExtensions[] = {"classification",
                                                   "sequence",
                                                   "model_repository",
                                                   "model_repository(unload_dependents)",
                                                   "schedule_policy",
                                                   "model_configuration",
                                                   "system_shared_memory",
                                                   "binary_tensor_data",
                                                   "parameters",
                                                   "statistics",
                                                   "trace",
                                                   "logging"};

}  // namespace zeta::server
