// Walks a YAML document with errors that say the line and column, the path, what is wrong and what
// to write instead. Internal to the module.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codec/yaml.h"

namespace skerry {

// One value of the document, which must outlive it.
class YamlNode {
 public:
  explicit YamlNode(const YamlDocument& document) : document_(&document), value_(&document.value) {}

  bool is_scalar() const { return value_->is_primitive() && !value_->is_null(); }
  const Json& value() const { return *value_; }
  // "fields.torque_nm"
  const std::string& path() const { return path_; }
  // "line 7, column 3"
  std::string where() const { return document_->Where(pointer_); }

  // The member, or none when it is absent. None for a value that is no mapping.
  std::optional<YamlNode> Find(std::string_view key) const;
  // The member; `hint` says what to write when it is absent.
  Result<YamlNode> Member(std::string_view key, std::string_view hint) const;
  // All members of a mapping; an empty value counts as an empty mapping.
  Result<std::vector<std::pair<std::string, YamlNode>>> Members(std::string_view wanted) const;
  Result<std::vector<YamlNode>> List(std::string_view wanted) const;
  // A text, or a number or truth value as it was meant to be read.
  Result<std::string> Text(std::string_view wanted) const;
  Result<double> Number(double least, double most) const;
  Result<std::uint64_t> Whole(std::uint64_t least, std::uint64_t most) const;
  // A text of 1 to limits::kRuleNameChars printable characters.
  Result<std::string> RuleName() const;
  // Refuses members that are not in `known`, and values that are no mapping (empty is one).
  Status ForbidOthers(std::initializer_list<std::string_view> known) const;

  template <typename... Args>
  tl::unexpected<Error> Fail(fmt::format_string<Args...> format, Args&&... args) const {
    return FailAs(ErrorCode::kInvalidArgument, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  tl::unexpected<Error> FailAs(ErrorCode code, fmt::format_string<Args...> format,
                               Args&&... args) const {
    return FailText(code, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  YamlNode(const YamlDocument* document, const Json* value, std::string pointer, std::string path)
      : document_(document), value_(value), pointer_(std::move(pointer)), path_(std::move(path)) {}
  YamlNode Child(std::string_view key, const Json& value) const;
  tl::unexpected<Error> FailText(ErrorCode code, std::string_view text) const;

  const YamlDocument* document_;
  const Json* value_;
  std::string pointer_;
  std::string path_;
};

}  // namespace skerry
