// The XML that S3 answers in: elements and text, as much of XML 1.0 as its documents have. No
// document type, no CDATA; attributes, comments and instructions are passed over.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry {

struct XmlElement {
  std::string name{};  // as written, with a prefix if it has one
  std::string text{};  // its own, references replaced
  std::vector<XmlElement> children{};

  // The first child of that name; null when there is none.
  const XmlElement* Find(std::string_view child) const;
  // That child's text; "" when there is none.
  std::string TextOf(std::string_view child) const;
};

// The root element. kInvalidArgument, with the place, for anything else, also for elements more
// than limits::kXmlDepth deep.
Result<XmlElement> ParseXml(std::string_view text);

}  // namespace skerry
