#include "apps/zeta-server/access.h"

#include <re2/re2.h>

#include <algorithm>

#include "src/base/concat.h"

namespace zeta::server {
namespace {

// In the order of the enumeration.
constexpr std::array<std::string_view, kApis> kNames = {"health",        "metadata",     "inference",
                                                        "shared-memory", "model-config", "model-repository",
                                                        "statistics",    "trace",        "logging"};

std::string all_names() {
  std::string list;
  for (const std::string_view name : kNames) list += concat(list.empty() ? "" : ", ", name);
  return list;
}

class Re2Pattern final : public HeaderPattern {
 public:
  Re2Pattern(const std::string& expression, const RE2::Options& options) : pattern_(expression, options) {}
  bool matches(std::string_view header) const override {
    return RE2::FullMatch(re2::StringPiece(header.data(), header.size()), pattern_);
  }
  std::string error() const { return pattern_.ok() ? "" : pattern_.error(); }

 private:
  const RE2 pattern_;
};

}  // namespace

absl::Status AccessRules::add(std::string_view text) {
  const size_t colon = text.find(':');
  const size_t equals = text.find('=', colon == std::string_view::npos ? 0 : colon);
  if (colon == std::string_view::npos || equals == std::string_view::npos || equals == colon + 1 ||
      equals + 1 == text.size()) {
    return absl::InvalidArgumentError("expected API[,API]:HEADER=VALUE");  // not the text: it has the secret
  }
  const AccessRule rule{std::string(text.substr(colon + 1, equals - colon - 1)),
                        std::string(text.substr(equals + 1))};
  for (std::string_view rest = text.substr(0, colon); !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    const auto* found = std::ranges::find(kNames, name);
    if (found == kNames.end()) {
      return absl::InvalidArgumentError(concat("unknown API '", name, "'; expected ", all_names()));
    }
    auto& slot = rules_[static_cast<size_t>(found - kNames.begin())];
    if (slot) return absl::InvalidArgumentError(concat("the API '", name, "' is restricted twice"));
    slot = rule;
  }
  return absl::OkStatus();
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

absl::StatusOr<std::shared_ptr<const HeaderPattern>> HeaderPattern::make(const std::string& expression) {
  RE2::Options options;
  options.set_case_sensitive(false);
  options.set_log_errors(false);
  auto pattern = std::make_shared<Re2Pattern>(expression, options);
  if (!pattern->error().empty()) {
    return absl::InvalidArgumentError(
        concat("'", expression, "' is no regular expression: ", pattern->error()));
  }
  return pattern;
}

}  // namespace zeta::server
