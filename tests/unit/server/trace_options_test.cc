#include "apps/zeta-server/tracing/trace_options.h"

#include <gtest/gtest.h>

namespace zeta::server {
namespace {

TEST(TraceOptions, OfTriton) {
  const auto options = read_trace_options({"triton,file=/tmp/t", "triton,log-frequency=50", "rate=100",
                                           "level=TIMESTAMPS", "level=TENSORS", "count=9"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->mode, TraceMode::kTriton);
  EXPECT_EQ(options->file, "/tmp/t");
  EXPECT_EQ(options->log_frequency, 50u);
  EXPECT_EQ(options->rate, 100u);
  EXPECT_EQ(options->count, 9);
  EXPECT_EQ(options->levels, (std::vector<std::string>{"TIMESTAMPS", "TENSORS"}));
}

TEST(TraceOptions, OfOpenTelemetryFlagsBeforeTheEnvironment) {
  setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=env,zone=a", 1);
  setenv("OTEL_BSP_SCHEDULE_DELAY", "7", 1);
  const auto options = read_trace_options({"mode=opentelemetry", "opentelemetry,url=http://c:1/v1/traces",
                                           "opentelemetry,resource=service.name=flag", "level=TIMESTAMPS"});
  unsetenv("OTEL_RESOURCE_ATTRIBUTES");
  unsetenv("OTEL_BSP_SCHEDULE_DELAY");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->url, "http://c:1/v1/traces");
  EXPECT_EQ(options->resource.at("service.name"), "flag");
  EXPECT_EQ(options->resource.at("zone"), "a");
  EXPECT_EQ(options->delay.count(), 7);
}

TEST(TraceOptions, WhatIsWrongIsNamed) {
  const std::vector<std::vector<std::string>> wrong = {
      {"rate"},
      {"rate=-1"},
      {"rate=x"},
      {"count=-2"},
      {"level=MAX"},
      {"mode=zipkin"},
      {"zipkin,url=a"},
      {"triton,path=a"},
      {"opentelemetry,url=c:1"},
      {"opentelemetry,resource=a"},
      {"level=TIMESTAMPS"},
      {"mode=opentelemetry", "level=TENSORS"},
      {"speed=1"},
      {"opentelemetry,bsp_schedule_delay=0"},
      {"mode=opentelemetry", "opentelemetry,bsp_max_queue_size=10"}};
  for (const auto& texts : wrong) {
    const auto options = read_trace_options(texts);
    EXPECT_TRUE(absl::IsInvalidArgument(options.status())) << texts.back();
  }
}

}  // namespace
}  // namespace zeta::server
