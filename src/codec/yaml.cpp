#include "codec/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <sstream>
#include <vector>

namespace skerry {
namespace {

Json PlainScalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto [stop, status] = std::from_chars(text.data(), end, whole);
      status == std::errc() && stop == end)
    return whole;
  double number = 0;
  const bool numeric = text.find_first_not_of("+-.0123456789eE") == std::string::npos;
  if (const auto [stop, status] = std::from_chars(text.data(), end, number);
      numeric && status == std::errc() && stop == end)
    return number;
  return text;
}

// Builds Json from yaml-cpp's events rather than its node graph, since only the events keep
// aliases and duplicate keys visible.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(YamlDocument& document) : document_(document) {}
  const std::string& error() const { return error_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { Add(mark, nullptr); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    SetError(mark, "aliases (*name) are not allowed; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    Add(mark, tag == "!" ? Json(value) : PlainScalar(value), &value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Open(mark, Json::array());
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    Open(mark, Json::object());
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Level {
    Json* value;
    std::string pointer;
    std::string key;
    bool has_key = false;
  };

  void SetError(const YAML::Mark& mark, std::string_view message) {
    if (error_.empty())
      error_ = fmt::format("line {}, column {}: {}", mark.line + 1, mark.column + 1, message);
  }

  // Takes `text` as a key where a key is due; returns whether it did.
  bool TakeKey(const YAML::Mark& mark, const std::string* text) {
    if (levels_.empty() || !levels_.back().value->is_object() || levels_.back().has_key)
      return false;
    Level& level = levels_.back();
    if (text == nullptr) {
      SetError(mark, "a key has to be a plain word");
      return true;
    }
    if (level.value->contains(*text)) SetError(mark, fmt::format("key '{}' is there twice", *text));
    level.key = *text;
    level.has_key = true;
    return true;
  }

  Json* Place(const YAML::Mark& mark, Json value, std::string& pointer) {
    Json* placed = &document_.value;
    if (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.value->is_array()) {
        pointer = fmt::format("{}/{}", level.pointer, level.value->size());
        level.value->push_back(nullptr);
        placed = &level.value->back();
      } else {
        pointer = fmt::format("{}/{}", level.pointer, EscapeJsonPointer(level.key));
        placed = &(*level.value)[level.key];
        level.has_key = false;
      }
    }
    *placed = std::move(value);
    document_.marks[pointer] = {mark.line + 1, mark.column + 1};
    return placed;
  }

  void Add(const YAML::Mark& mark, Json value, const std::string* text = nullptr) {
    if (!error_.empty() || TakeKey(mark, text)) return;
    std::string pointer;
    Place(mark, std::move(value), pointer);
  }

  void Open(const YAML::Mark& mark, Json container) {
    if (levels_.size() >= static_cast<std::size_t>(limits::kJsonDepth))
      SetError(mark, "nested too deep");
    if (!error_.empty() || TakeKey(mark, nullptr)) return;
    std::string pointer;
    Json* placed = Place(mark, std::move(container), pointer);
    levels_.push_back({placed, pointer, "", false});
  }

  void Close() {
    if (error_.empty() && !levels_.empty()) levels_.pop_back();
  }

  YamlDocument& document_;
  std::vector<Level> levels_;
  std::string error_;
};

}  // namespace

std::string EscapeJsonPointer(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out += c;
  }
  return out;
}

std::string YamlDocument::Where(std::string_view pointer) const {
  std::string at(pointer);
  while (true) {
    if (const auto found = marks.find(at); found != marks.end())
      return fmt::format("line {}, column {}", found->second.line, found->second.column);
    const std::size_t slash = at.rfind('/');
    if (slash == std::string::npos) return "line 1, column 1";
    at.resize(slash);
  }
}

Result<YamlDocument> ParseYaml(std::string_view text) {
  if (text.size() > limits::kYamlBytes)
    return Fail(ErrorCode::kTooLarge, "YAML document of {} bytes is over the limit of {} bytes",
                text.size(), limits::kYamlBytes);
  YamlDocument document;
  try {
    std::istringstream input{std::string(text)};
    YAML::Parser parser(input);
    Builder builder(document);
    parser.HandleNextDocument(builder);
    if (!builder.error().empty()) return Fail(ErrorCode::kInvalidArgument, "{}", builder.error());
    return document;
  } catch (const YAML::Exception& e) {
    return Fail(ErrorCode::kInvalidArgument, "line {}, column {}: {}", e.mark.line + 1,
                e.mark.column + 1, e.msg);
  }
}

}  // namespace skerry
