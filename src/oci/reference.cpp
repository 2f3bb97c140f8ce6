#include "oci/reference.h"

#include <algorithm>

#include "base/ids.h"
#include "base/limits.h"

namespace skerry {
namespace {

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsAlnum(char c) { return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z'); }

// The length of the separator (`.`, `_`, `__` or dashes) at `at`, or 0.
std::size_t SeparatorLength(std::string_view text, std::size_t at) {
  if (text[at] == '.') return 1;
  if (text[at] == '_') return text.substr(at).starts_with("__") ? 2 : 1;
  std::size_t dashes = 0;
  while (at + dashes < text.size() && text[at + dashes] == '-') ++dashes;
  return dashes;
}

bool IsRepositoryComponent(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t word = at;
    while (at < text.size() && IsLowerAlnum(text[at])) ++at;
    if (at == word) return false;
    if (at == text.size()) return true;
    const std::size_t separator = SeparatorLength(text, at);
    if (separator == 0) return false;
    at += separator;
  }
  return false;  // empty, or it ends in a separator
}

bool IsRegistryHost(std::string_view text) {
  const bool looks_like_host =
      text == "localhost" || text.find_first_of(".:") != std::string_view::npos;
  return looks_like_host && std::all_of(text.begin(), text.end(), [](char c) {
           return IsAlnum(c) || std::string_view(".-:[]").find(c) != std::string_view::npos;
         });
}

}  // namespace

Status CheckRepository(std::string_view name) {
  if (name.empty() || name.size() > limits::kRepositoryNameBytes)
    return Fail(ErrorCode::kInvalidArgument,
                "a repository name has 1 to {} characters, this one has {}",
                limits::kRepositoryNameBytes, name.size());
  std::string_view rest = name;
  while (true) {
    const std::size_t slash = rest.find('/');
    if (!IsRepositoryComponent(rest.substr(0, slash)))
      return Fail(ErrorCode::kInvalidArgument,
                  "\"{}\" is no repository name: components of lower-case letters and digits, "
                  "joined by . _ __ or -, with / between them",
                  name);
    if (slash == std::string_view::npos) return {};
    rest.remove_prefix(slash + 1);
  }
}

Status CheckTag(std::string_view tag) { return CheckVersion("tag", tag); }

Result<Reference> Reference::Parse(std::string_view text) {
  Reference reference;
  std::string_view rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    SKERRY_ASSIGN_OR_RETURN(reference.digest, Digest::Parse(rest.substr(at + 1)),
                            fmt::format("reference \"{}\"", text));
    rest = rest.substr(0, at);
  }
  if (const std::size_t slash = rest.find('/');
      slash != std::string_view::npos && IsRegistryHost(rest.substr(0, slash))) {
    reference.registry = rest.substr(0, slash);
    rest.remove_prefix(slash + 1);
  }
  if (const std::size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    SKERRY_RETURN_IF_ERROR(CheckTag(reference.tag), fmt::format("reference \"{}\"", text));
    rest = rest.substr(0, colon);
  }
  SKERRY_RETURN_IF_ERROR(CheckRepository(rest), fmt::format("reference \"{}\"", text));
  reference.repository = rest;
  return reference;
}

std::string Reference::Locator() const { return digest ? digest->ToString() : tag; }

std::string Reference::ToString() const {
  std::string text = registry.empty() ? repository : registry + "/" + repository;
  if (!tag.empty()) text += ":" + tag;
  if (digest) text += "@" + digest->ToString();
  return text;
}

}  // namespace skerry
