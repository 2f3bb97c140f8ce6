#pragma once

#include <cstdlib>
#include <string>

namespace skerry {

// The variable of the process's environment; "" where it is not set.
inline std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace skerry
