// Identities: who a process is, which row, which stream, and what names people may choose.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

// A random 128-bit id, drawn at every process start (design: "instance"). It replaces trust in
// clocks, hosts and disks: a cloned disk or a restored image simply becomes another instance.
class InstanceId {
 public:
  InstanceId() = default;  // all zero: "none"

  // Drawn from the kernel's random source; aborts where there is none.
  static InstanceId Random();
  // 32 lower-case hex digits.
  static Result<InstanceId> Parse(std::string_view hex);

  std::string ToString() const;
  // The first 12 hex digits: short form used in tags and on screens.
  std::string Short() const { return ToString().substr(0, 12); }
  bool is_none() const { return *this == InstanceId(); }
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  auto operator<=>(const InstanceId&) const = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

// Given to every scored row at scoring: (instance of the scoring process, n = 1, 2, 3, ...).
// Text form "<32 hex>-<n>".
struct RowId {
  InstanceId instance;
  std::uint64_t n = 0;

  static Result<RowId> Parse(std::string_view text);
  std::string ToString() const;
  auto operator<=>(const RowId&) const = default;
};

// Position in a stream: 1, 2, 3, ... 0 means "before the first".
enum class StreamSeq : std::uint64_t {};
constexpr std::uint64_t ToUint(StreamSeq seq) { return static_cast<std::uint64_t>(seq); }

// Names of sites, groups and models obey the grammar of one OCI repository path component
// ([a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*, at most 64 characters here); versions that of an OCI tag
// ([a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}). Source: OCI distribution-spec 1.1, "Pulling manifests".
// `what` names the thing in the error: "site name", "model name".
Status CheckName(std::string_view what, std::string_view name);
Status CheckVersion(std::string_view what, std::string_view version);

// A UUID-like random token of 32 hex digits for things that only need to differ.
std::string RandomHex(std::size_t bytes);

}  // namespace skerry

template <>
struct std::hash<skerry::InstanceId> {
  std::size_t operator()(const skerry::InstanceId& id) const noexcept {
    std::size_t value = 0;
    for (int i = 0; i < 8; ++i) value = (value << 8U) | id.bytes()[static_cast<std::size_t>(i)];
    return value;
  }
};
