#include "src/base/metrics.h"

#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

namespace zeta {
namespace {

std::shared_ptr<prometheus::Registry> source(const std::string& model, double value) {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter()
      .Name("requests_total")
      .Help("Requests")
      .Register(*registry)
      .Add({{"model", model}})
      .Increment(value);
  return registry;
}

TEST(MetricsPage, JoinsFamiliesOfOneName) {
  MetricsPage page;
  page.add(source("a", 1));
  page.add(source("b", 2));
  EXPECT_EQ(page.text(),
            "# HELP requests_total Requests\n"
            "# TYPE requests_total counter\n"
            "requests_total{model=\"a\"} 1\n"
            "requests_total{model=\"b\"} 2\n");
}

}  // namespace
}  // namespace zeta
