#include "codec/json.h"

#include <cmath>
#include <set>

namespace skerry {
namespace {

// Builds the document and refuses what nlohmann's own parser lets through: too deep nesting and
// duplicate keys.
class BoundedBuilder {
 public:
  bool operator()(int depth, nlohmann::json::parse_event_t event, Json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (depth > limits::kJsonDepth) too_deep_ = true;
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end && !keys_.empty()) keys_.pop_back();
    if (event == Event::key && !keys_.empty() &&
        !keys_.back().insert(parsed.get_ref<const std::string&>()).second && duplicate_key_.empty())
      duplicate_key_ = parsed.get<std::string>();
    return true;
  }
  bool too_deep() const { return too_deep_; }
  const std::string& duplicate_key() const { return duplicate_key_; }

 private:
  bool too_deep_ = false;
  std::string duplicate_key_;
  std::vector<std::set<std::string>> keys_;
};

// The parser recurses only in its callback's bookkeeping, but a nesting bomb is cheaper to refuse
// before any value is built.
bool NestsDeeperThanAllowed(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if ((c == '[' || c == '{') && ++depth > limits::kJsonDepth) return true;
    if (c == ']' || c == '}') --depth;
  }
  return false;
}

std::string KindOf(const Json& value) {
  return value.is_null() ? "null" : std::string(value.type_name());
}

Status AppendCanonical(const Json& value, std::string& out) {
  switch (value.type()) {
    case Json::value_t::object: {
      out += '{';
      bool first = true;
      for (const auto& [key, member] : value.items()) {
        if (!std::exchange(first, false)) out += ',';
        SKERRY_RETURN_IF_ERROR(AppendCanonical(Json(key), out));
        out += ':';
        SKERRY_RETURN_IF_ERROR(AppendCanonical(member, out));
      }
      out += '}';
      return {};
    }
    case Json::value_t::array: {
      out += '[';
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (i > 0) out += ',';
        SKERRY_RETURN_IF_ERROR(AppendCanonical(value[i], out));
      }
      out += ']';
      return {};
    }
    case Json::value_t::string:
      out += '"';
      for (const char c : value.get_ref<const std::string&>()) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
      }
      out += '"';
      return {};
    case Json::value_t::number_float:
      return Fail(ErrorCode::kInvalidArgument, "canonical JSON has no fractions, got {}",
                  value.get<double>());
    default: out += value.dump(); return {};
  }
}

}  // namespace

Result<Json> ParseJson(std::string_view text, std::size_t max_bytes) {
  if (text.size() > max_bytes)
    return Fail(ErrorCode::kTooLarge, "JSON document of {} bytes is over the limit of {} bytes",
                text.size(), max_bytes);
  if (NestsDeeperThanAllowed(text))
    return Fail(ErrorCode::kInvalidArgument, "JSON nests deeper than {} levels",
                limits::kJsonDepth);
  BoundedBuilder builder;
  try {
    Json value = Json::parse(text.begin(), text.end(),
                             [&builder](int depth, Json::parse_event_t event, Json& parsed) {
                               return builder(depth, event, parsed);
                             });
    if (!builder.duplicate_key().empty())
      return Fail(ErrorCode::kInvalidArgument, "JSON object has the key '{}' twice",
                  builder.duplicate_key());
    return value;
  } catch (const Json::parse_error& e) {
    return Fail(ErrorCode::kInvalidArgument, "not valid JSON at byte {}: {}", e.byte, e.what());
  } catch (const Json::exception& e) {
    return Fail(ErrorCode::kInvalidArgument, "not valid JSON: {}", e.what());
  }
}

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string DumpJsonPretty(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::string> DumpCanonicalJson(const Json& value) {
  std::string out;
  SKERRY_RETURN_IF_ERROR(AppendCanonical(value, out));
  return out;
}

bool JsonObject::Has(const char* key) const {
  return value_->is_object() && value_->contains(key) && !(*value_)[key].is_null();
}

Result<const Json*> JsonObject::Member(const char* key) const {
  if (!value_->is_object())
    return Fail(ErrorCode::kInvalidArgument, "{}: expected an object, got {}", path_,
                KindOf(*value_));
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null())
    return Fail(ErrorCode::kInvalidArgument, "{}: '{}' is missing", path_, key);
  return &*found;
}

namespace {

tl::unexpected<Error> WrongType(const std::string& path, const char* key, const char* wanted,
                                const Json& got) {
  return Fail(ErrorCode::kInvalidArgument, "{}.{}: expected {}, got {}", path, key, wanted,
              KindOf(got));
}

}  // namespace

Result<std::string> JsonObject::String(const char* key) const {
  SKERRY_ASSIGN_OR_RETURN(const Json* member, Member(key));
  if (!member->is_string()) return WrongType(path_, key, "a string", *member);
  return member->get<std::string>();
}

Result<std::int64_t> JsonObject::Int(const char* key) const {
  SKERRY_ASSIGN_OR_RETURN(const Json* member, Member(key));
  const bool fits = member->is_number_integer() &&
                    (!member->is_number_unsigned() || member->get<std::uint64_t>() <= INT64_MAX);
  if (!fits) return WrongType(path_, key, "a whole number of 64 bits", *member);
  return member->get<std::int64_t>();
}

Result<std::uint64_t> JsonObject::Uint(const char* key) const {
  SKERRY_ASSIGN_OR_RETURN(const Json* member, Member(key));
  const bool fits = member->is_number_unsigned() ||
                    (member->is_number_integer() && member->get<std::int64_t>() >= 0);
  if (!fits) return WrongType(path_, key, "a whole number that is not negative", *member);
  return member->get<std::uint64_t>();
}

Result<double> JsonObject::Number(const char* key) const {
  SKERRY_ASSIGN_OR_RETURN(const Json* member, Member(key));
  if (!member->is_number()) return WrongType(path_, key, "a number", *member);
  return member->get<double>();
}

Result<bool> JsonObject::Bool(const char* key) const {
  SKERRY_ASSIGN_OR_RETURN(const Json* member, Member(key));
  if (!member->is_boolean()) return WrongType(path_, key, "true or false", *member);
  return member->get<bool>();
}

Result<JsonObject> JsonObject::Object(const char* key) const {
  SKERRY_ASSIGN_OR_RETURN(const Json* member, Member(key));
  if (!member->is_object()) return WrongType(path_, key, "an object", *member);
  return JsonObject(*member, fmt::format("{}.{}", path_, key));
}

Result<const Json*> JsonObject::Array(const char* key) const {
  SKERRY_ASSIGN_OR_RETURN(const Json* member, Member(key));
  if (!member->is_array()) return WrongType(path_, key, "an array", *member);
  return member;
}

Result<std::vector<std::string>> JsonObject::Strings(const char* key) const {
  SKERRY_ASSIGN_OR_RETURN(const Json* array, Array(key));
  std::vector<std::string> out;
  for (const Json& element : *array) {
    if (!element.is_string()) return WrongType(path_, key, "an array of strings", element);
    out.push_back(element.get<std::string>());
  }
  return out;
}

std::string JsonObject::ElementPath(const char* key, std::size_t index) const {
  return fmt::format("{}.{}[{}]", path_, key, index);
}

Result<std::string> JsonObject::StringOr(const char* key, std::string fallback) const {
  if (!Has(key)) return fallback;
  return String(key);
}
Result<std::uint64_t> JsonObject::UintOr(const char* key, std::uint64_t fallback) const {
  if (!Has(key)) return fallback;
  return Uint(key);
}
Result<std::int64_t> JsonObject::IntOr(const char* key, std::int64_t fallback) const {
  if (!Has(key)) return fallback;
  return Int(key);
}
Result<double> JsonObject::NumberOr(const char* key, double fallback) const {
  if (!Has(key)) return fallback;
  return Number(key);
}
Result<bool> JsonObject::BoolOr(const char* key, bool fallback) const {
  if (!Has(key)) return fallback;
  return Bool(key);
}

Status JsonObject::ForbidOthers(std::initializer_list<std::string_view> known) const {
  if (!value_->is_object())
    return Fail(ErrorCode::kInvalidArgument, "{}: expected an object, got {}", path_,
                KindOf(*value_));
  for (const auto& [key, member] : value_->items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string list;
    for (const std::string_view name : known)
      list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
    return Fail(ErrorCode::kInvalidArgument, "{}: unknown key '{}'; known are: {}", path_, key,
                list);
  }
  return {};
}

}  // namespace skerry
