#include "s3/xml.h"

#include <charconv>
#include <cstdint>

#include "base/limits.h"

namespace skerry {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void AppendUtf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  const int tail = code < 0x800 ? 1 : code < 0x1'0000 ? 2 : 3;
  constexpr std::uint32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLead[tail] | code >> (6U * static_cast<unsigned>(tail)));
  for (int i = tail - 1; i >= 0; --i)
    out += static_cast<char>(0x80U | ((code >> (6U * static_cast<unsigned>(i))) & 0x3FU));
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<XmlElement> Document() {
    SKERRY_RETURN_IF_ERROR(SkipMarkup());
    SKERRY_ASSIGN_OR_RETURN(XmlElement root, Element(0));
    SKERRY_RETURN_IF_ERROR(SkipMarkup());
    if (at_ != text_.size()) return Wrong("something behind the root element");
    return root;
  }

 private:
  bool Ahead(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  tl::unexpected<Error> Wrong(std::string_view what) const {
    return Fail(ErrorCode::kInvalidArgument, "no XML as S3 writes it: {} at byte {}", what, at_);
  }

  Status SkipPast(std::string_view end) {
    const std::size_t found = text_.find(end, at_);
    if (found == std::string_view::npos) return Wrong(fmt::format("nothing ends by {}", end));
    at_ = found + end.size();
    return {};
  }
  // Spaces, comments and instructions around the root.
  Status SkipMarkup() {
    while (at_ < text_.size()) {
      if (IsSpace(text_[at_]))
        ++at_;
      else if (Ahead("<?"))
        SKERRY_RETURN_IF_ERROR(SkipPast("?>"));
      else if (Ahead("<!--"))
        SKERRY_RETURN_IF_ERROR(SkipPast("-->"));
      else
        break;
    }
    return {};
  }

  std::string Name() {
    const std::size_t first = at_;
    while (at_ < text_.size() && !IsSpace(text_[at_]) &&
           std::string_view("<>/=&'\"").find(text_[at_]) == std::string_view::npos)
      ++at_;
    return std::string(text_.substr(first, at_ - first));
  }

  // To the > of a start tag; whether it is one without content, <a/>.
  Result<bool> RestOfTag() {
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '>') return false;
      if (c == '/' && Ahead(">")) {
        ++at_;
        return true;
      }
      if (c == '<') break;
      if (c == '"' || c == '\'') SKERRY_RETURN_IF_ERROR(SkipPast(std::string_view(&c, 1)));
    }
    return Wrong("a tag without an end");
  }

  Result<XmlElement> Element(int depth) {
    if (depth >= limits::kXmlDepth) return Wrong("elements too deep in each other (kXmlDepth)");
    if (!Ahead("<")) return Wrong("no element");
    ++at_;
    XmlElement element{.name = Name()};
    if (element.name.empty() || element.name.front() == '!' || element.name.front() == '?')
      return Wrong("no element");
    SKERRY_ASSIGN_OR_RETURN(const bool empty, RestOfTag());
    if (!empty) SKERRY_RETURN_IF_ERROR(Content(element, depth));
    return element;
  }

  Status Content(XmlElement& element, int depth) {
    while (at_ < text_.size()) {
      if (Ahead("</")) {
        at_ += 2;
        if (Name() != element.name) return Wrong("the end of another element");
        return SkipPast(">");
      }
      if (Ahead("<!--")) {
        SKERRY_RETURN_IF_ERROR(SkipPast("-->"));
      } else if (Ahead("<")) {
        SKERRY_ASSIGN_OR_RETURN(XmlElement child, Element(depth + 1));
        element.children.push_back(std::move(child));
      } else if (Ahead("&")) {
        SKERRY_RETURN_IF_ERROR(Reference(element.text));
      } else {
        element.text += text_[at_++];
      }
    }
    return Wrong(fmt::format("no end of {}", element.name));
  }

  Status Reference(std::string& out) {
    constexpr std::size_t kLongest = 12;
    const std::string_view rest = text_.substr(at_ + 1, kLongest);
    const std::size_t end = rest.find(';');
    if (end == std::string_view::npos) return Wrong("a reference without an end");
    const std::string_view name = rest.substr(0, end);
    at_ += end + 2;
    if (name.starts_with('#')) return NumberedReference(name.substr(1), out);
    constexpr std::pair<std::string_view, char> kNamed[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (const auto& [known, c] : kNamed) {
      if (name != known) continue;
      out += c;
      return {};
    }
    return Wrong("an unknown reference");
  }
  Status NumberedReference(std::string_view digits, std::string& out) {
    const bool hex = digits.starts_with('x');
    if (hex) digits.remove_prefix(1);
    std::uint32_t code = 0;
    const char* end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, code, hex ? 16 : 10);
    if (parsed.ec != std::errc() || parsed.ptr != end || code == 0 || code > 0x10'FFFF ||
        (code >= 0xD800 && code < 0xE000))
      return Wrong("a reference to no character");
    AppendUtf8(out, code);
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

const XmlElement* XmlElement::Find(std::string_view child) const {
  for (const XmlElement& element : children)
    if (element.name == child) return &element;
  return nullptr;
}

std::string XmlElement::TextOf(std::string_view child) const {
  const XmlElement* found = Find(child);
  return found == nullptr ? std::string() : found->text;
}

Result<XmlElement> ParseXml(std::string_view text) { return Reader(text).Document(); }

}  // namespace skerry
