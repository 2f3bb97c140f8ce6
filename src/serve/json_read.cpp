#include "serve/json_read.h"

#include <utility>

#include "base/limits.h"

namespace skerry::json_read {

Result<ondemand::document> Start(std::string& body, std::size_t bytes) {
  // One a thread: it keeps its buffers between requests.
  thread_local ondemand::parser parser;
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  ondemand::document document;
  if (const auto error = parser.iterate(body.data(), bytes, body.capacity()).get(document))
    return Fail(ErrorCode::kInvalidArgument, "the body is no valid JSON: {}",
                simdjson::error_message(error));
  return document;
}

Result<ondemand::document> Start(std::string& body) { return Start(body, body.size()); }

Error Malformed(simdjson::error_code code, ondemand::document& document, std::string_view body) {
  const char* at = nullptr;
  std::string place;
  if (!document.current_location().get(at) && at >= body.data() && at < body.data() + body.size())
    place = fmt::format(" (near byte {})", at - body.data());
  return Error(ErrorCode::kInvalidArgument, fmt::format("the body is no valid JSON: {}{}",
                                                        simdjson::error_message(code), place));
}

bool AtEnd(ondemand::document& document) {
  const char* at = nullptr;
  return document.current_location().get(at) == simdjson::OUT_OF_BOUNDS;
}

std::string_view KindName(ondemand::value& value) {
  ondemand::json_type type;
  if (value.type().get(type)) return "no JSON value";
  switch (type) {
    case ondemand::json_type::array: return "an array";
    case ondemand::json_type::object: return "an object";
    case ondemand::json_type::number: return "a number";
    case ondemand::json_type::string: return "a string";
    case ondemand::json_type::boolean: return "a boolean";
    case ondemand::json_type::null: return "null";
  }
  return "no JSON value";
}

bool ReadText(ondemand::value& value, std::string& text) {
  ondemand::json_type type;
  if (value.type().get(type)) return false;
  text.clear();
  if (type == ondemand::json_type::string) {
    std::string_view view;
    if (value.get_string().get(view)) return false;
    text = view;
    return true;
  }
  if (type == ondemand::json_type::null) {
    bool is_null = false;
    return !value.is_null().get(is_null) && is_null;
  }
  if (type == ondemand::json_type::boolean) {
    bool flag = false;
    if (value.get_bool().get(flag)) return false;
    text = flag ? "true" : "false";
    return true;
  }
  if (type != ondemand::json_type::number) return false;
  std::string_view token = value.raw_json_token();
  double number = 0;
  if (value.get_double().get(number)) return false;
  token = token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
  text = token;
  return true;
}

namespace {

Status ReadParameter(std::string_view name, ondemand::value& value, ParameterValue& parameter) {
  const auto bad = [name](ondemand::value& found) {
    return Fail(ErrorCode::kInvalidArgument,
                "parameters.{}: expected a string, number, boolean or an array of these, got {}",
                name, KindName(found));
  };
  ondemand::array array;
  ondemand::json_type type;
  if (!value.type().get(type) && type == ondemand::json_type::array) {
    parameter.per_row = true;
    if (value.get_array().get(array)) return bad(value);
    for (auto item : array) {
      ondemand::value element;
      std::string text;
      if (item.get(element)) return bad(value);
      if (!ReadText(element, text)) return bad(element);
      if (parameter.texts.size() == limits::kRowsPerRequest)
        return Fail(ErrorCode::kTooLarge, "parameters.{} has more than {} values", name,
                    limits::kRowsPerRequest);
      parameter.texts.push_back(std::move(text));
    }
    return {};
  }
  std::string text;
  if (!ReadText(value, text)) return bad(value);
  parameter.texts.push_back(std::move(text));
  return {};
}

}  // namespace

Status ReadParameters(ondemand::value& value, RequestParameters& parameters) {
  ondemand::object object;
  if (value.get_object().get(object))
    return Fail(ErrorCode::kInvalidArgument, "parameters: expected an object, got {}",
                KindName(value));
  for (auto item : object) {
    ondemand::field field;
    std::string_view key;
    if (std::move(item).get(field) || field.unescaped_key().get(key))
      return Fail(ErrorCode::kInvalidArgument, "parameters: the object is no valid JSON");
    const std::string name(key);
    ondemand::value member = field.value();
    ParameterValue parameter;
    SKERRY_RETURN_IF_ERROR(ReadParameter(name, member, parameter));
    if (!parameters.emplace(name, std::move(parameter)).second)
      return Fail(ErrorCode::kInvalidArgument, "parameters.{} is given twice", name);
  }
  return {};
}

}  // namespace skerry::json_read
