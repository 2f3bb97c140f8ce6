// Structured logs: one line an event, `key=value` after the sentence. To stderr, so that stdout
// stays the commands' answer. Secrets and record contents are never logged.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace skerry {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Sets the least level that is written and the component's name on every line. Call once, from
// main, before any thread starts.
void StartLogging(std::string_view component, LogLevel least);

void WriteLog(LogLevel level, std::string_view line);

// Thread-safe. LogInfo("segment sealed stream={} rows={}", stream, rows);
template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace skerry
