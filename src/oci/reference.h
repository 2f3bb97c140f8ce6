// Names in OCI registries: repositories, tags, and whole references such as
// "hub.example:8443/models/milling:2@sha256:...". Pure functions, thread-safe.
// Source: OCI distribution-spec 1.1, "Pulling manifests"; errors are kInvalidArgument.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/digest.h"

namespace skerry {

// Repository: components [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* joined by "/", at most
// limits::kRepositoryNameBytes. What passes is safe as a relative path: no component starts with
// a dot or an underscore, none is empty.
Status CheckRepository(std::string_view name);

// Tag: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}. What passes is safe as a file name.
Status CheckTag(std::string_view tag);

// A reference as people type it. `registry` is host[:port] and empty when the text names none; a
// first component counts as a registry when it has a dot or a colon or is "localhost".
struct Reference {
  std::string registry;
  std::string repository;
  std::string tag;               // empty when none is given; no "latest" is made up
  std::optional<Digest> digest;  // wins over the tag where both are given

  static Result<Reference> Parse(std::string_view text);
  // The digest if there is one, else the tag: the last path segment of the manifest's URL.
  std::string Locator() const;
  std::string ToString() const;
};

}  // namespace skerry
