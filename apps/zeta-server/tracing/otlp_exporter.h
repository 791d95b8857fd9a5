// Sends spans to an OpenTelemetry collector over OTLP/HTTP.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "src/http/client.h"
#include "src/serving/request_trace.h"

namespace zeta::server {

// Used by one thread.
class OtlpExporter {
 public:
  // `url` is one that http::parse_url takes; `resource` are the attributes of this service.
  OtlpExporter(const http::Url& url, std::map<std::string, std::string> resource);

  // Tries again for a few seconds where the collector cannot be reached or says that it may be tried again
  // (429, 502, 503, 504); with `last` once only. False: the spans are lost, and the log says why.
  bool send(const std::vector<serving::TraceRecord>& records, bool last);

 private:
  const http::Url url_;
  const std::map<std::string, std::string> resource_;
  http::Client client_;
  bool complained_ = false;  // since the last success
};

}  // namespace zeta::server
