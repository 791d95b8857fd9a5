#include "src/backends/torch/naming.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "src/base/concat.h"

namespace zeta::torch_backend {
namespace {

using Positions = std::vector<size_t>;
using serving::TensorMetadata;

std::optional<size_t> index_in(const std::string& name) {
  const size_t mark = name.rfind("__");
  if (mark == std::string::npos) return std::nullopt;
  size_t index = 0;
  const char* const end = name.data() + name.size();
  const auto result = std::from_chars(name.data() + mark + 2, end, index);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return index;
}

template <class Position>
std::optional<Positions> all_by(const std::vector<TensorMetadata>& tensors, Position position) {
  Positions positions;
  for (const TensorMetadata& tensor : tensors) {
    const std::optional<size_t> found = position(tensor.name);
    if (!found) return std::nullopt;
    positions.push_back(*found);
  }
  return positions;
}

Positions in_order(size_t count) {
  Positions positions;
  for (size_t i = 0; i < count; ++i) positions.push_back(i);
  return positions;
}

}  // namespace

absl::StatusOr<std::vector<size_t>> positions_of(const std::vector<TensorMetadata>& tensors,
                                                 const std::vector<std::string>& names, size_t count) {
  auto positions = all_by(tensors, [&](const std::string& name) -> std::optional<size_t> {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) return std::nullopt;
    return static_cast<size_t>(found - names.begin());
  });
  if (!positions) positions = all_by(tensors, index_in);
  if (!positions) positions = in_order(tensors.size());
  std::map<size_t, std::string> taken;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t position = (*positions)[i];
    const std::string& name = tensors[i].name;
    if (position >= count) {
      return absl::InvalidArgumentError(
          concat("'", name, "' would be number ", position, " of the model's tensors, which has ", count));
    }
    if (const auto [other, is_new] = taken.emplace(position, name); !is_new) {
      return absl::InvalidArgumentError(concat("'", name, "' and '", other->second, "' are both number ",
                                               position, " of the model's tensors"));
    }
  }
  return *std::move(positions);
}

}  // namespace zeta::torch_backend
