// Where served models come from, and how they are loaded, loaded again and taken away while
// requests go on: the model repository extension of the Open Inference Protocol.
//
// A source is a path:
//   FILE.onnx                    one bare version "0"
//   DIR with schema.json         a model package, one version "0"
//   DIR/VERSION/model.onnx       bare versions, by number
//   DIR/VERSION/ with schema.json  versions that are packages
// The highest number is the version that requests without one get. A directory of models holds one
// such DIR for each name.
//
// Promise: a version counts as ready when it has been loaded and warmed up, not before; all
// versions of a name change in one step; one that fails to load keeps the version that was served
// under its number, if any, and Index() says why. Requests under way finish on what they began
// with.
// Threads: all of it from anywhere. Load, Unload and LoadAll block, one change at a time; Index
// never waits for them. Owned by the composition root; borrows repository and clock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "serve/repository.h"

namespace skerry {

// Whether the protocols' load and unload are obeyed.
enum class LibraryControl : std::uint8_t { kFixed, kOnRequest };

struct ModelLibraryOptions {
  LibraryControl control = LibraryControl::kFixed;
  std::filesystem::path directory{};  // of models; empty: none
};

// One line of the index.
struct ModelState {
  std::string name, version;
  std::string state;   // "READY", "LOADING", "UNAVAILABLE"
  std::string reason;  // why it is not ready, or why its last load changed nothing; "" else
};

class ModelLibrary {
 public:
  ModelLibrary(ModelRepository& repository, const Clock& clock, ModelLibraryOptions options);

  LibraryControl control() const { return options_.control; }

  // Remembers a source. "NAME=PATH", or "PATH" whose name is the schema's or the file's.
  // kInvalidArgument for a bad name, kAlreadyExists for one that is taken, kNotFound when there is
  // nothing at the path.
  Status Add(const std::string& argument);
  // Loads every source, and what the directory holds. The error of the first named source that
  // fails; what fails in the directory is logged and stays in the index.
  Status LoadAll();

  // Loads the name's versions anew from its source, or from the directory for a name that has none
  // yet. kNotFound when there is none; else the first version's error, which the index repeats.
  Status Load(const std::string& name);
  // Takes all versions away. kNotFound when none is served.
  Status Unload(const std::string& name);

  // Sorted by name and version.
  std::vector<ModelState> Index() const;

 private:
  struct Found {
    std::string version;
    std::filesystem::path path;
  };
  struct Outcome {
    std::string version;
    std::string reason;  // "" when it is served as it was loaded
  };
  using Model = ModelRepository::Model;

  Result<std::filesystem::path> SourceOf(const std::string& name) const;
  static Result<std::vector<Found>> VersionsAt(const std::filesystem::path& source);
  // `remark`: why it is served cold, if it is.
  Result<ServedModel> LoadVersion(const std::string& name, const Found& found,
                                  std::string& remark) const;
  Status LoadFrom(const std::string& name, const std::filesystem::path& source);
  void Note(const std::string& name, std::vector<Outcome> outcomes);

  ModelRepository* repository_;
  const Clock* clock_;
  const ModelLibraryOptions options_;

  std::mutex changing_;       // held for a whole change
  mutable std::mutex mutex_;  // guards what follows; taken last
  std::map<std::string, std::filesystem::path> sources_;
  std::map<std::string, std::vector<Outcome>> outcomes_;  // of each name's last change
  std::string loading_;                                   // the name that is being loaded; ""
};

}  // namespace skerry
