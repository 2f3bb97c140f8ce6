#include "policy/yaml_reader.h"

#include <algorithm>

#include "base/limits.h"

namespace skerry {
namespace {

std::string Join(std::initializer_list<std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

}  // namespace

YamlNode YamlNode::Child(std::string_view key, const Json& value) const {
  return {document_, &value, fmt::format("{}/{}", pointer_, EscapeJsonPointer(key)),
          path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key)};
}

tl::unexpected<Error> YamlNode::FailText(ErrorCode code, std::string_view text) const {
  return ::skerry::Fail(code, "{}: {}{}{}", where(), path_, path_.empty() ? "" : ": ", text);
}

std::optional<YamlNode> YamlNode::Find(std::string_view key) const {
  if (!value_->is_object()) return std::nullopt;
  const auto found = value_->find(key);
  if (found == value_->end()) return std::nullopt;
  return Child(key, *found);
}

Result<YamlNode> YamlNode::Member(std::string_view key, std::string_view hint) const {
  if (!value_->is_object()) return Fail("this is no mapping; {}", hint);
  if (auto found = Find(key)) return *found;
  return Fail("'{}' is missing; {}", key, hint);
}

Result<std::vector<std::pair<std::string, YamlNode>>> YamlNode::Members(
    std::string_view wanted) const {
  std::vector<std::pair<std::string, YamlNode>> members;
  if (value_->is_null()) return members;
  if (!value_->is_object()) return Fail("this is no mapping; write {}", wanted);
  for (const auto& [key, value] : value_->items()) members.emplace_back(key, Child(key, value));
  return members;
}

Result<std::vector<YamlNode>> YamlNode::List(std::string_view wanted) const {
  if (!value_->is_array()) return Fail("this is no list; write {}", wanted);
  std::vector<YamlNode> items;
  for (std::size_t i = 0; i < value_->size(); ++i)
    items.push_back({document_, &(*value_)[i], fmt::format("{}/{}", pointer_, i),
                     fmt::format("{}[{}]", path_, i)});
  return items;
}

Result<std::string> YamlNode::Text(std::string_view wanted) const {
  if (value_->is_string()) return value_->get<std::string>();
  if (value_->is_number_float())
    return Fail("a number with a fraction may read differently elsewhere; put it in quotes");
  if (is_scalar()) return DumpJson(*value_);
  return Fail("this is no single value; write {}", wanted);
}

Result<double> YamlNode::Number(double least, double most) const {
  const bool number = value_->is_number();
  const double value = number ? value_->get<double>() : 0;
  if (!number || !(value >= least && value <= most))
    return Fail("{} is no number from {} to {}", DumpJson(*value_), least, most);
  return value;
}

Result<std::uint64_t> YamlNode::Whole(std::uint64_t least, std::uint64_t most) const {
  const bool whole = value_->is_number_integer() && value_->get<std::int64_t>() >= 0;
  const std::uint64_t value = whole ? value_->get<std::uint64_t>() : 0;
  if (!whole || value < least || value > most)
    return Fail("{} is no whole number from {} to {}", DumpJson(*value_), least, most);
  return value;
}

Result<std::string> YamlNode::RuleName() const {
  SKERRY_ASSIGN_OR_RETURN(std::string name, Text("a name such as no-free-text"));
  const bool printable = std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (name.empty() || name.size() > limits::kRuleNameChars || !printable)
    return Fail("a rule's name has 1 to {} printable characters; write for example no-free-text",
                limits::kRuleNameChars);
  return name;
}

Status YamlNode::ForbidOthers(std::initializer_list<std::string_view> known) const {
  if (value_->is_null()) return {};
  if (!value_->is_object())
    return Fail("this is no mapping; write {}",
                known.size() == 0 ? "{}" : "keys of its own: " + Join(known));
  for (const auto& [key, value] : value_->items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      return Child(key, value)
          .Fail("there is no such key here; {}",
                known.size() == 0 ? "write {}" : "there are " + Join(known));
  return {};
}

}  // namespace skerry
