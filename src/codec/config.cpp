#include "codec/config.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>

#include "codec/yaml.h"

namespace skerry {
namespace {

using std::chrono::milliseconds;

struct Unit {
  std::string_view suffix;
  std::int64_t factor;
};
// The longer suffix first where one ends in another.
constexpr Unit kByteUnits[] = {{"KiB", std::int64_t{1} << 10},
                               {"MiB", std::int64_t{1} << 20},
                               {"GiB", std::int64_t{1} << 30},
                               {"TiB", std::int64_t{1} << 40}};
constexpr Unit kDurationUnits[] = {
    {"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};

// "64MiB" with kByteUnits is 67108864. Whole numbers only; nothing when it is not of that form or
// does not fit.
std::optional<std::int64_t> ParseWithUnit(std::string_view text, std::span<const Unit> units) {
  std::int64_t number = 0;
  const auto [stop, status] = std::from_chars(text.begin(), text.end(), number);
  const std::string_view suffix = text.substr(static_cast<std::size_t>(stop - text.begin()));
  if (status != std::errc() || number < 0) return std::nullopt;
  for (const Unit& unit : units)
    if (unit.suffix == suffix && number <= std::numeric_limits<std::int64_t>::max() / unit.factor)
      return number * unit.factor;
  return std::nullopt;
}

// The number with the largest unit that divides it.
std::string FormatWithUnit(std::int64_t value, std::span<const Unit> units,
                           std::string_view smallest) {
  std::string_view suffix = smallest;
  std::int64_t factor = 1;
  for (const Unit& unit : units)
    if (value != 0 && value % unit.factor == 0) {
      suffix = unit.suffix;
      factor = unit.factor;
    }
  return fmt::format("{}{}", value / factor, suffix);
}

std::string ShowDefault(const std::string& value) { return fmt::format("\"{}\"", value); }
std::string ShowDefault(double value) { return fmt::format("{}", value); }
std::string ShowDefault(bool value) { return value ? "true" : "false"; }
std::string ShowDefault(milliseconds value) {
  return FormatWithUnit(value.count(), kDurationUnits, "ms");
}

std::string ShowDefault(const std::vector<std::string>& value) {
  return fmt::format("[{}]", fmt::join(value, ", "));
}

std::string_view TypeName(const std::string*) { return "text"; }
std::string_view TypeName(const std::int64_t*) { return "integer"; }
std::string_view TypeName(const double*) { return "number"; }
std::string_view TypeName(const bool*) { return "true or false"; }
std::string_view TypeName(const milliseconds*) { return "duration"; }
std::string_view TypeName(const std::vector<std::string>*) { return "list of texts"; }

constexpr std::string_view kBytesUnit = "bytes";

}  // namespace

// Walks the document level by level and collects what it sets.
class ConfigSpec::Reader {
 public:
  Reader(const ConfigSpec& spec, const YamlDocument& document) : spec_(spec), document_(document) {}

  Result<std::vector<Assignment>> Read() {
    if (document_.value.is_null()) return std::move(assignments_);  // an empty document
    SKERRY_RETURN_IF_ERROR(ReadLevel(document_.value, "", ""));
    return std::move(assignments_);
  }

 private:
  // `prefix` is "" or ends in a dot; `pointer` is the level's JSON pointer. Depth is bounded by the
  // keys of the spec: only levels that lead to one are entered.
  Status ReadLevel(const Json& level, const std::string& prefix, const std::string& pointer) {
    if (!level.is_object())
      return Wrong(pointer, prefix.empty() ? "the document" : prefix.substr(0, prefix.size() - 1),
                   fmt::format("a group of keys ({})", KnownBelow(prefix)));
    for (const auto& [name, value] : level.items()) {
      const std::string key = prefix + name;
      const std::string at = (Json::json_pointer(pointer) / name).to_string();
      if (const Entry* entry = Find(key); entry != nullptr) {
        SKERRY_RETURN_IF_ERROR(ReadValue(*entry, value, at));
      } else if (IsLevel(key) && name.find('.') == std::string::npos) {
        SKERRY_RETURN_IF_ERROR(ReadLevel(value, key + '.', at));
      } else {
        return Fail(ErrorCode::kInvalidArgument, "{}: unknown key '{}'; known here: {}",
                    document_.Where(at), key, KnownBelow(prefix));
      }
    }
    return {};
  }

  Status ReadValue(const Entry& entry, const Json& value, const std::string& pointer) {
    return std::visit(
        [&](auto* target) -> Status {
          auto read = Convert(target, entry, value);
          if (!read) return Wrong(pointer, entry.key, Expected(target, entry));
          assignments_.push_back({&entry, std::move(*read)});
          return {};
        },
        entry.target);
  }

  static std::optional<std::string> Convert(std::string*, const Entry&, const Json& value) {
    if (!value.is_string()) return std::nullopt;
    return value.get<std::string>();
  }
  static std::optional<std::int64_t> Convert(std::int64_t*, const Entry& entry, const Json& value) {
    if (value.is_number_integer()) return value.get<std::int64_t>();
    if (value.is_string() && entry.unit == kBytesUnit)
      return ParseWithUnit(value.get_ref<const std::string&>(), kByteUnits);
    return std::nullopt;
  }
  static std::optional<double> Convert(double*, const Entry&, const Json& value) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) return std::nullopt;
    return value.get<double>();
  }
  static std::optional<bool> Convert(bool*, const Entry&, const Json& value) {
    if (!value.is_boolean()) return std::nullopt;
    return value.get<bool>();
  }
  static std::optional<milliseconds> Convert(milliseconds*, const Entry&, const Json& value) {
    if (!value.is_string()) return std::nullopt;
    const auto count = ParseWithUnit(value.get_ref<const std::string&>(), kDurationUnits);
    if (!count) return std::nullopt;
    return milliseconds(*count);
  }

  static std::optional<std::vector<std::string>> Convert(std::vector<std::string>*, const Entry&,
                                                         const Json& value) {
    if (!value.is_array()) return std::nullopt;
    std::vector<std::string> texts;
    for (const Json& item : value) {
      if (!item.is_string()) return std::nullopt;
      texts.push_back(item.get<std::string>());
    }
    return texts;
  }

  template <typename T>
  static std::string Expected(T* target, const Entry& entry) {
    if constexpr (std::is_same_v<T, milliseconds>)
      return "a duration such as 250ms, 5s, 2m, 1h, 7d";
    if constexpr (std::is_same_v<T, std::string>)
      return "text (quote it if it looks like a number)";
    if constexpr (std::is_same_v<T, std::vector<std::string>>)
      return "a list of texts such as [\"a\", \"b\"]";
    if (entry.unit == kBytesUnit)
      return "a whole number of bytes such as 4096, 512KiB, 64MiB, 10GiB";
    return fmt::format("{}{}{}", std::is_same_v<T, bool> ? "" : "a ", TypeName(target),
                       entry.unit.empty() ? "" : fmt::format(" ({})", entry.unit));
  }

  Status Wrong(const std::string& pointer, std::string_view what, std::string_view expected) const {
    return Fail(ErrorCode::kInvalidArgument, "{}: '{}' has to be {}", document_.Where(pointer),
                what, expected);
  }

  const Entry* Find(std::string_view key) const {
    const auto found = std::find_if(spec_.entries_.begin(), spec_.entries_.end(),
                                    [&](const Entry& entry) { return entry.key == key; });
    return found == spec_.entries_.end() ? nullptr : &*found;
  }

  bool IsLevel(const std::string& key) const {
    return std::any_of(spec_.entries_.begin(), spec_.entries_.end(),
                       [&](const Entry& entry) { return entry.key.starts_with(key + '.'); });
  }

  std::string KnownBelow(std::string_view prefix) const {
    std::vector<std::string> names;
    for (const Entry& entry : spec_.entries_) {
      if (!entry.key.starts_with(prefix)) continue;
      std::string name = entry.key.substr(prefix.size());
      name.resize(std::min(name.size(), name.find('.')));
      if (std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
    }
    return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
  }

  const ConfigSpec& spec_;
  const YamlDocument& document_;
  std::vector<Assignment> assignments_;
};

ConfigSpec& ConfigSpec::AddEntry(std::string key, Target target, std::string unit,
                                 std::string doc) {
  for ([[maybe_unused]] const Entry& other : entries_)
    assert(other.key != key && !other.key.starts_with(key + '.') &&
           !key.starts_with(other.key + '.'));
  std::string shown = std::visit(
      [&](const auto* value) {
        using T = std::remove_cvref_t<decltype(*value)>;
        if constexpr (std::is_same_v<T, std::int64_t>)
          return unit == kBytesUnit ? FormatWithUnit(*value, kByteUnits, "")
                                    : fmt::format("{}", *value);
        else
          return ShowDefault(*value);
      },
      target);
  entries_.push_back({std::move(key), target, std::move(unit), std::move(doc), std::move(shown)});
  return *this;
}

ConfigSpec& ConfigSpec::Add(std::string key, std::string* value, std::string unit,
                            std::string doc) {
  return AddEntry(std::move(key), value, std::move(unit), std::move(doc));
}
ConfigSpec& ConfigSpec::Add(std::string key, std::int64_t* value, std::string unit,
                            std::string doc) {
  return AddEntry(std::move(key), value, std::move(unit), std::move(doc));
}
ConfigSpec& ConfigSpec::Add(std::string key, double* value, std::string unit, std::string doc) {
  return AddEntry(std::move(key), value, std::move(unit), std::move(doc));
}
ConfigSpec& ConfigSpec::Add(std::string key, bool* value, std::string unit, std::string doc) {
  return AddEntry(std::move(key), value, std::move(unit), std::move(doc));
}
ConfigSpec& ConfigSpec::Add(std::string key, milliseconds* value, std::string unit,
                            std::string doc) {
  return AddEntry(std::move(key), value, std::move(unit), std::move(doc));
}
ConfigSpec& ConfigSpec::Add(std::string key, std::vector<std::string>* value, std::string unit,
                            std::string doc) {
  return AddEntry(std::move(key), value, std::move(unit), std::move(doc));
}

Status ConfigSpec::Load(std::string_view yaml) const {
  SKERRY_ASSIGN_OR_RETURN(const YamlDocument document, ParseYaml(yaml));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Assignment> assignments,
                          Reader(*this, document).Read());
  for (const Assignment& one : assignments)
    std::visit(
        [&](auto* target) {
          *target = std::get<std::remove_cvref_t<decltype(*target)>>(one.value);
        },
        one.entry->target);
  return {};
}

std::string ConfigSpec::Reference() const {
  std::string text;
  for (const Entry& entry : entries_) {
    const std::string_view type =
        std::visit([](const auto* value) { return TypeName(value); }, entry.target);
    const bool has_unit = !entry.unit.empty() && entry.unit != type;
    text += fmt::format("{}  ({}{}{}; default {})\n    {}\n", entry.key, type, has_unit ? ", " : "",
                        has_unit ? entry.unit : "", entry.default_text, entry.doc);
  }
  return text;
}

}  // namespace skerry
