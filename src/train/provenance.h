// provenance.json of a model package: from which bytes, by which parameters and by which software
// it was made (docs/formats/provenance.md). Holds no time and no name of a machine or a directory,
// so that the same data, options, seed and software give the same package to the byte.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "train/model_fit.h"
#include "train/trainer.h"

namespace skerry {

// Name (without directories) and digest.
using NamedDigests = std::vector<std::pair<std::string, std::string>>;

// What a person chose, but the parameters of trees and detector.
Json OptionsToJson(const TrainOptions& options);

// Of a training from files. kUnavailable: a library whose version is told cannot be opened.
Result<Json> ProvenanceOf(const TrainOptions& options, const TrainReport& report,
                          const NamedDigests& data);

// What every package tells: name, version, seed, parameters, software. For what is made of other
// things than files.
Result<Json> ProvenanceBase(const TrainReport& report);

// The digest of numbers as a model gets them: features, labels, targets and weights of every row.
std::string DigestOfRows(const LabelledRows& rows);

// provenance.json with the digests of the package's other files.
std::string ProvenanceText(Json provenance,
                           const std::vector<std::pair<std::string, std::string>>& files);

}  // namespace skerry
