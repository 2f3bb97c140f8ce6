// Shared libraries that are opened on first use, so that processes that do without them never map
// them.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

// An opened library. It stays mapped for the process's life, since code of its threads may run
// until the end. Copyable, thread-safe.
class SharedLibrary {
 public:
  // Opens `name`, a path relative to $SKERRY_LIB_DIR if that is set, else to lib/ beside the
  // executable. kUnavailable says where it was sought and why it did not open.
  static Result<SharedLibrary> Open(std::string_view name);

  // Sets the function pointer. kUnavailable when the library has no such function (another version
  // than the pinned one).
  template <typename Function>
  Status Find(const char* symbol, Function*& function) const {
    SKERRY_ASSIGN_OR_RETURN(void* address, Address(symbol));
    function = reinterpret_cast<Function*>(address);
    return {};
  }

 private:
  SharedLibrary(void* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  Result<void*> Address(const char* symbol) const;

  void* handle_;
  std::string path_;
};

}  // namespace skerry
