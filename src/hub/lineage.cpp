#include "hub/lineage.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace skerry {
namespace {

// Name and digest of what a package was made of.
Json MadeOf(const Json& provenance) {
  Json sources = Json::array();
  const auto add = [&](const Json& one) {
    if (!one.is_object()) return;
    Json source = {{"name", one.value("file", one.value("what", ""))},
                   {"digest", one.value("digest", "")}};
    if (one.contains("rows")) source["rows"] = one.at("rows");
    sources.push_back(std::move(source));
  };
  for (const char* list : {"imported", "data", "holdout_data"}) {
    const auto found = provenance.find(list);
    if (found == provenance.end()) continue;
    if (found->is_array())
      for (const Json& one : *found) add(one);
    else
      add(*found);
  }
  return sources;
}

// The digest of the predictor that a retrained model began with.
std::optional<Digest> BaseOf(const Json& provenance) {
  const auto base = provenance.find("base");
  if (base == provenance.end() || !base->is_array()) return std::nullopt;
  for (const Json& one : *base) {
    if (!one.is_object() || one.value("file", "") != "model.onnx") continue;
    if (auto digest = Digest::Parse(one.value("digest", "")); digest) return std::move(*digest);
  }
  return std::nullopt;
}

}  // namespace

Result<Json> LineageOf(ModelShelf& shelf, const std::string& model) {
  Json chain = Json::array();
  const auto found = shelf.FindModel(model);
  if (!found && found.error().code() != ErrorCode::kNotFound)
    return tl::make_unexpected(found.error());
  if (!found) return Json::array({{{"model", model}, {"missing", found.error().message()}}});
  std::optional<ModelRef> at = *found;
  while (at && chain.size() < kLineageModels) {
    Json link = {{"model", at->ToString()}, {"digest", at->digest.ToString()}};
    const auto provenance = shelf.ProvenanceOf(*at);
    if (!provenance) {
      link["missing"] = provenance.error().message();
      chain.push_back(std::move(link));
      return chain;
    }
    link["made_of"] = MadeOf(*provenance);
    link["segments"] = provenance->value("segments", Json::array());
    link["software"] = provenance->value("software", Json::object());
    chain.push_back(std::move(link));
    const std::optional<Digest> base = BaseOf(*provenance);
    if (!base) return chain;
    SKERRY_ASSIGN_OR_RETURN(auto before, shelf.FindByFile(at->name, "model.onnx", *base));
    if (!before)
      chain.push_back({{"missing", fmt::format("the model before it, with the predictor {}, is not "
                                               "in the registry",
                                               base->ToString())}});
    at = std::move(before);
  }
  return chain;
}

}  // namespace skerry
