// A hostile TUF repository as a text, so that mutations stay readable and reach behind the checks
// of signatures: for the fuzzer, its seeds and a test.
//
// A case is parts, each a line "#SIGNERS NAME" and the content up to the next such line:
//   #2 metadata/timestamp.json
//   {"_type":"timestamp", ... "meta":{"snapshot.json":{"version":3,"length":$l0,...}}}
// The line feed at the end of a case is not part of it. SIGNERS: digits, keys of TufCaseKeys that
// sign this body; "!": it is served as it stands. In a content, $i1 is the id of key 1, $p1 its PEM
// (as JSON text), $h0 and $l0 the SHA-256 and the length of the first part as it is served, and so
// on for 0 to 9.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codec/text.h"
#include "trust/tuf_metadata.h"

namespace skerry {

struct TufCasePart {
  std::string name;
  std::string signers;
  std::string bytes;  // as it is served
};

// 1: root, 2: timestamp, 3: snapshot, 4: targets, 5: the role "sites", 6: the group "polar",
// 7: nobody that the repository names.
using TufCaseKeys = std::vector<PrivateKey>;  // [0] is the empty one

class TufCaseReader {
 public:
  explicit TufCaseReader(TufCaseKeys keys) : keys_(std::move(keys)) {
    for (const PrivateKey& key : keys_) {
      const std::string pem = DumpJson(Json(key.public_key().ToPem()));
      pems_.push_back(pem.substr(1, pem.size() - 2));
      ids_.push_back(key.empty() ? "" : TufKeyId(key.public_key()));
    }
  }

  std::vector<TufCasePart> Read(std::string_view text) {
    std::vector<TufCasePart> parts;
    if (text.ends_with('\n')) text.remove_suffix(1);
    while (!text.empty() && parts.size() < 16) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      std::size_t end = text.starts_with('#') ? 0 : text.find("\n#");
      const std::string_view content = text.substr(0, end);
      if (end != 0) text.remove_prefix(std::min(text.size(), content.size() + 1));
      const std::size_t space = std::min(line.find(' '), line.size());
      TufCasePart part;
      part.signers =
          line.substr(std::min<std::size_t>(1, space), space - std::min<std::size_t>(1, space));
      part.name = line.substr(std::min(space + 1, line.size()));
      const std::string body = Fill(content, parts);
      part.bytes = part.signers == "!" ? body : Sign(body, part.signers);
      parts.push_back(std::move(part));
    }
    return parts;
  }

  // The other way round, for keys.
  std::string Unfill(std::string text) const {
    for (std::size_t i = 1; i < keys_.size(); ++i) {
      Replace(text, ids_[i], fmt::format("$i{}", i));
      Replace(text, pems_[i], fmt::format("$p{}", i));
    }
    return text;
  }

  const PrivateKey& key(std::size_t number) const { return keys_.at(number); }
  const std::string& id(std::size_t number) const { return ids_.at(number); }

 private:
  static void Replace(std::string& text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  }

  std::string Fill(std::string_view content, const std::vector<TufCasePart>& parts) const {
    std::string body;
    for (std::size_t i = 0; i < content.size(); ++i) {
      const std::size_t number = i + 2 < content.size() && content[i] == '$'
                                     ? static_cast<std::size_t>(content[i + 2] - '0')
                                     : 99;
      const char kind = number < 10 ? content[i + 1] : ' ';
      const bool key = (kind == 'i' || kind == 'p') && number > 0 && number < keys_.size();
      const bool part = (kind == 'h' || kind == 'l') && number < parts.size();
      if (!key && !part) {
        body += content[i];
        continue;
      }
      if (kind == 'i') body += ids_[number];
      if (kind == 'p') body += pems_[number];
      if (kind == 'h') body += Digest::Sha256(parts[number].bytes).hex();
      if (kind == 'l') body += fmt::format("{}", parts[number].bytes.size());
      i += 2;
    }
    return body;
  }

  std::string Sign(const std::string& body, const std::string& signers) {
    Json signatures = Json::array();
    const auto json = ParseJson(body);
    const auto canonical = json ? DumpCanonicalJson(*json) : Result<std::string>(std::string());
    for (const char digit : canonical ? signers : std::string()) {
      const auto number = static_cast<std::size_t>(digit - '0');
      if (number == 0 || number >= keys_.size()) continue;
      std::string& signature = made_[{number, *canonical}];
      if (signature.empty()) signature = EncodeHex(keys_[number].Sign(*canonical).value());
      signatures.push_back({{"keyid", ids_[number]}, {"sig", signature}});
    }
    if (made_.size() > 4'096) made_.clear();
    return fmt::format(R"({{"signatures":{},"signed":{}}})", DumpJson(signatures), body);
  }

  TufCaseKeys keys_;
  std::vector<std::string> ids_, pems_;                              // PEM as JSON text
  std::map<std::pair<std::size_t, std::string>, std::string> made_;  // signatures, by key and text
};

}  // namespace skerry
