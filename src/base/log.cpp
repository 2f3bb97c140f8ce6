#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace skerry {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::info;
}

// Before StartLogging (and in tests) warnings and errors go to stderr.
spdlog::logger& Logger() {
  static const auto logger = [] {
    auto made = spdlog::stderr_color_mt("skerry");
    made->set_level(spdlog::level::warn);
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%fZ %L %v", spdlog::pattern_time_type::utc);
    return made;
  }();
  return *logger;
}

}  // namespace

void StartLogging(std::string_view component, LogLevel least) {
  Logger().set_pattern(fmt::format("%Y-%m-%dT%H:%M:%S.%fZ %L {} %v", component),
                       spdlog::pattern_time_type::utc);
  Logger().set_level(ToSpdlog(least));
}

void WriteLog(LogLevel level, std::string_view line) { Logger().log(ToSpdlog(level), line); }

}  // namespace skerry
