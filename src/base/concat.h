// Text put together from parts, for messages.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace zeta {

// concat("expected ", 3, " inputs, got ", n). Parts are integers and anything that converts to string_view.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  const auto append = [&text](const auto& part) {
    if constexpr (std::integral<std::decay_t<decltype(part)>>) {
      text += std::to_string(part);
    } else {
      text += std::string_view(part);
    }
  };
  (append(parts), ...);
  return text;
}

}  // namespace zeta
