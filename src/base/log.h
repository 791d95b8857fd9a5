// Structured log lines on standard error or in a file.
//
//   log::info("model loaded", {{"model", name}, {"seconds", 1.5}});
//
// A line is a fixed message and named fields, so that it can be searched. Callers never pass headers, bodies
// or query strings: those may hold secrets. All functions may be called from any thread once configure() has
// returned.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace zeta::log {

enum class Level { kVerbose, kInfo, kWarning, kError };
enum class Format { kText, kJson };

struct Settings {
  Level level = Level::kInfo;  // the least that is written
  Format format = Format::kText;
  std::string file;  // empty: standard error
};

struct Field {
  std::string_view key;
  std::variant<bool, int64_t, double, std::string_view> value;

  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, bool v) : key(k), value(v) {}
  Field(std::string_view k, int v) : key(k), value(static_cast<int64_t>(v)) {}
  Field(std::string_view k, int64_t v) : key(k), value(v) {}
  Field(std::string_view k, size_t v) : key(k), value(static_cast<int64_t>(v)) {}
  Field(std::string_view k, double v) : key(k), value(v) {}
};
using Fields = std::initializer_list<Field>;

// Throws std::runtime_error naming the file when it cannot be opened. Call before other threads log.
void configure(const Settings& settings);

bool enabled(Level level);
// Changes the least level that is written. Any thread, at any time.
void set_level(Level level);
Level level();
// As configured; "": standard error.
std::string file();
void write(Level level, std::string_view message, Fields fields);
void flush();

inline void verbose(std::string_view message, Fields fields = {}) { write(Level::kVerbose, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(Level::kInfo, message, fields); }
inline void warning(std::string_view message, Fields fields = {}) { write(Level::kWarning, message, fields); }
inline void error(std::string_view message, Fields fields = {}) { write(Level::kError, message, fields); }

// One line without its newline, without time and level: `message key=value …`, or the inside of a JSON
// object.
std::string format_line(Format format, std::string_view message, Fields fields);

}  // namespace zeta::log
