#include "src/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cmath>
#include <memory>
#include <stdexcept>

#include "src/base/json_string.h"

namespace zeta::log {
namespace {

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v";
constexpr char kJsonPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})";

std::atomic<Format> line_format{Format::kText};
std::atomic<Level> least_level{Level::kInfo};

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kVerbose:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> make_logger(const Settings& settings) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (settings.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(settings.file);
  }
  auto logger = std::make_shared<spdlog::logger>("zeta", std::move(sink));
  logger->set_pattern(settings.format == Format::kJson ? kJsonPattern : kTextPattern,
                      spdlog::pattern_time_type::utc);
  logger->set_level(to_spdlog(settings.level));
  logger->flush_on(spdlog::level::debug);
  return logger;
}

std::shared_ptr<spdlog::logger>& logger() {
  static auto* instance =
      new std::shared_ptr<spdlog::logger>(make_logger({}));  // outlives static destructors
  return *instance;
}

std::string& log_file() {
  static auto* name = new std::string;
  return *name;
}

bool is_plain(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return c > 0x20 && c < 0x7F && c != '"' && c != '=' && c != '\\';
  });
}

void append_value(std::string& out, const Field& field, bool quote_always) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    if (!quote_always && is_plain(*text)) {
      out += *text;
    } else {
      append_json_string(out, *text);
    }
  } else if (const auto* number = std::get_if<double>(&field.value)) {
    out += std::isfinite(*number) ? fmt::format("{:.6g}", *number) : std::string("null");
  } else if (const auto* integer = std::get_if<int64_t>(&field.value)) {
    out += std::to_string(*integer);
  } else {
    out += std::get<bool>(field.value) ? "true" : "false";
  }
}

}  // namespace

std::string format_line(Format format, std::string_view message, Fields fields) {
  std::string line;
  if (format == Format::kJson) {
    line += "\"message\":";
    append_json_string(line, message);
  } else {
    line += message;
  }
  for (const Field& field : fields) {
    if (format == Format::kJson) {
      line += ',';
      append_json_string(line, field.key);
      line += ':';
    } else {
      line.append(" ").append(field.key).append("=");
    }
    append_value(line, field, format == Format::kJson);
  }
  return line;
}

void configure(const Settings& settings) {
  try {
    logger() = make_logger(settings);
  } catch (const spdlog::spdlog_ex&) {
    throw std::runtime_error("cannot open log file '" + settings.file + "' for appending");
  }
  line_format = settings.format;
  least_level = settings.level;
  log_file() = settings.file;
}

void set_level(Level level) {
  least_level = level;
  logger()->set_level(to_spdlog(level));
}

Level level() { return least_level; }

std::string file() { return log_file(); }

bool enabled(Level level) { return logger()->should_log(to_spdlog(level)); }

void write(Level level, std::string_view message, Fields fields) {
  if (!enabled(level)) return;
  logger()->log(to_spdlog(level), spdlog::string_view_t(format_line(line_format, message, fields)));
}

void flush() { logger()->flush(); }

}  // namespace zeta::log
