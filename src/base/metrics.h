// The text of a Prometheus scrape, put together from several sources.
#pragma once

#include <prometheus/collectable.h>

#include <memory>
#include <string>
#include <vector>

namespace zeta {

// Sources may be read from several threads at once; all are added before the first scrape.
class MetricsPage {
 public:
  void add(std::shared_ptr<prometheus::Collectable> source);

  // Text format 0.0.4. Families of one name are joined, as the format wants each name once; the sources must
  // give it the same type.
  std::string text() const;

 private:
  std::vector<std::shared_ptr<prometheus::Collectable>> sources_;
};

}  // namespace zeta
