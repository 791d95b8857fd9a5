#include "src/base/metrics.h"

#include <prometheus/text_serializer.h>

#include <map>
#include <utility>

namespace zeta {

void MetricsPage::add(std::shared_ptr<prometheus::Collectable> source) {
  sources_.push_back(std::move(source));
}

std::string MetricsPage::text() const {
  std::map<std::string, prometheus::MetricFamily> families;
  for (const auto& source : sources_) {
    for (prometheus::MetricFamily& family : source->Collect()) {
      auto [joined, is_new] = families.try_emplace(family.name, family);
      if (is_new) continue;
      auto& metrics = joined->second.metric;
      metrics.insert(metrics.end(), family.metric.begin(), family.metric.end());
    }
  }
  std::vector<prometheus::MetricFamily> page;
  page.reserve(families.size());
  for (auto& [name, family] : families) page.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(page);
}

}  // namespace zeta
