#include "serve/model_library.h"

#include <algorithm>
#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "codec/json.h"
#include "model/warm_up.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGraph = "model.onnx";
constexpr std::string_view kSchema = "schema.json";

// A directory that cannot be read is as good as absent, and the caller says so.
std::vector<fs::path> DirectoriesIn(const fs::path& directory) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored))
    if (entry.is_directory(ignored)) found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

bool Has(const fs::path& directory, std::string_view file) {
  std::error_code ignored;
  return fs::exists(directory / file, ignored);
}

bool IsNumber(const std::string& text) {
  return !text.empty() && text.size() <= 18 &&
         text.find_first_not_of("0123456789") == std::string::npos;
}

// The name of a source that was given without one.
Result<std::string> NameAt(const fs::path& source) {
  if (!fs::is_directory(source)) return source.stem().string();
  if (!Has(source, kSchema)) return fs::weakly_canonical(source).filename().string();
  SKERRY_ASSIGN_OR_RETURN(const std::string bytes,
                          ReadFile(source / kSchema, limits::kSchemaBytes));
  SKERRY_ASSIGN_OR_RETURN(const Json schema, ParseJson(bytes, limits::kSchemaBytes),
                          (source / kSchema).string());
  SKERRY_ASSIGN_OR_RETURN(const ModelSchema parsed, ModelSchema::FromJson(schema),
                          (source / kSchema).string());
  return parsed.model;
}

}  // namespace

ModelLibrary::ModelLibrary(ModelRepository& repository, const Clock& clock,
                           ModelLibraryOptions options)
    : repository_(&repository), clock_(&clock), options_(std::move(options)) {}

Status ModelLibrary::Add(const std::string& argument) {
  const std::size_t equals = argument.find('=');
  const bool named = equals != std::string::npos;
  const fs::path path = named ? argument.substr(equals + 1) : argument;
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return Fail(ErrorCode::kNotFound, "{}: there is no such file or directory", path.string());
  std::string name = argument.substr(0, named ? equals : 0);
  if (!named) {
    SKERRY_ASSIGN_OR_RETURN(name, NameAt(path));
  }
  SKERRY_RETURN_IF_ERROR(CheckName("model name", name), path.string());
  const std::scoped_lock lock(mutex_);
  if (!sources_.emplace(name, path).second)
    return Fail(ErrorCode::kAlreadyExists, "two models are called {}; say NAME={} for one of them",
                name, path.string());
  return {};
}

Result<fs::path> ModelLibrary::SourceOf(const std::string& name) const {
  SKERRY_RETURN_IF_ERROR(CheckName("model name", name));
  const std::scoped_lock lock(mutex_);
  if (const auto found = sources_.find(name); found != sources_.end()) return found->second;
  std::error_code ignored;
  if (!options_.directory.empty() && fs::is_directory(options_.directory / name, ignored))
    return options_.directory / name;
  return Fail(ErrorCode::kNotFound, "failed to load '{}', it is not in the model repository", name);
}

Result<std::vector<ModelLibrary::Found>> ModelLibrary::VersionsAt(const fs::path& source) {
  std::error_code ignored;
  if (!fs::is_directory(source, ignored)) {
    if (!fs::exists(source, ignored))
      return Fail(ErrorCode::kNotFound, "{} is not there any more", source.string());
    return std::vector<Found>{{"0", source}};
  }
  if (Has(source, kSchema)) return std::vector<Found>{{"0", source}};
  std::vector<Found> versions;
  for (const fs::path& directory : DirectoriesIn(source)) {
    const std::string version = directory.filename().string();
    if (!IsNumber(version)) continue;
    versions.push_back({version, Has(directory, kSchema) ? directory : directory / kGraph});
  }
  std::ranges::sort(versions, {}, [](const Found& found) { return std::stoull(found.version); });
  if (versions.empty())
    return Fail(ErrorCode::kNotFound,
                "{} holds neither schema.json nor a directory named by a version number",
                source.string());
  return versions;
}

Result<ServedModel> ModelLibrary::LoadVersion(const std::string& name, const Found& found,
                                              std::string& remark) const {
  std::shared_ptr<const ModelPackage> package;
  if (fs::is_directory(found.path)) {
    SKERRY_ASSIGN_OR_RETURN(
        package, LoadPackage(found.path,
                             {.name = name, .version = found.version, .digest = {}, .files = {}}));
  } else {
    SKERRY_ASSIGN_OR_RETURN(package, LoadBareOnnx(found.path, name, found.version));
  }
  const Result<std::int64_t> warm = WarmUp(*package, *clock_);
  if (!warm)
    remark = fmt::format("served without a warm-up, since it takes no row of zeros: {}",
                         warm.error().message());
  return ServedModel{.package = std::move(package), .run_us = warm.value_or(0)};
}

Status ModelLibrary::LoadFrom(const std::string& name, const fs::path& source) {
  const std::vector<Model> before = repository_->Versions(name);
  Result<std::vector<Found>> found = VersionsAt(source);
  if (!found) {
    std::vector<Outcome> outcomes;
    for (const Model& model : before)
      outcomes.push_back({model->package->version, found.error().message()});
    Note(name, std::move(outcomes));
    return Propagate(std::move(found));
  }
  std::vector<ServedModel> versions;
  std::vector<Outcome> outcomes;
  Status first_failure;
  for (const Found& version : *found) {
    std::string remark;
    Result<ServedModel> loaded = LoadVersion(name, version, remark);
    if (loaded) {
      versions.push_back(std::move(*loaded));
      outcomes.push_back({version.version, std::move(remark)});
      continue;
    }
    outcomes.push_back({version.version, loaded.error().message()});
    if (first_failure) first_failure = Propagate(std::move(loaded));
    for (const Model& model : before)
      if (model->package->version == version.version) versions.push_back(*model);
  }
  // With nothing to serve, what was served before stays.
  if (!versions.empty())
    SKERRY_RETURN_IF_ERROR(repository_->PutVersions(name, std::move(versions)));
  Note(name, std::move(outcomes));
  return first_failure;
}

void ModelLibrary::Note(const std::string& name, std::vector<Outcome> outcomes) {
  const std::scoped_lock lock(mutex_);
  outcomes_[name] = std::move(outcomes);
}

Status ModelLibrary::Load(const std::string& name) {
  SKERRY_ASSIGN_OR_RETURN(const fs::path source, SourceOf(name));
  const std::scoped_lock changing(changing_);
  const auto say = [this](std::string loading) {
    const std::scoped_lock lock(mutex_);
    loading_ = std::move(loading);
  };
  say(name);
  Status loaded = LoadFrom(name, source);
  say("");
  if (loaded)
    LogInfo("a model was loaded model={} path={}", name, source.string());
  else
    LogWarning("a model could not be loaded model={} reason=\"{}\"", name,
               loaded.error().message());
  return loaded;
}

Status ModelLibrary::LoadAll() {
  std::vector<std::string> named;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [name, source] : sources_) named.push_back(name);
  }
  for (const std::string& name : named) SKERRY_RETURN_IF_ERROR(Load(name));
  if (options_.directory.empty()) return {};
  std::error_code ignored;
  if (!fs::is_directory(options_.directory, ignored))
    return Fail(ErrorCode::kNotFound, "the model repository {} is no directory",
                options_.directory.string());
  for (const fs::path& directory : DirectoriesIn(options_.directory)) {
    const std::string name = directory.filename().string();
    if (std::ranges::find(named, name) != named.end()) continue;
    if (const Status usable = CheckName("model name", name); !usable)
      LogWarning("a directory of the model repository was left out: {}", usable.error().message());
    else
      static_cast<void>(Load(name));  // logged, and in the index
  }
  return {};
}

Status ModelLibrary::Unload(const std::string& name) {
  const std::scoped_lock changing(changing_);
  const std::vector<Model> before = repository_->Versions(name);
  SKERRY_RETURN_IF_ERROR(repository_->Remove(name));
  std::vector<Outcome> outcomes;
  for (const Model& model : before) outcomes.push_back({model->package->version, "unloaded"});
  Note(name, std::move(outcomes));
  LogInfo("a model was unloaded model={}", name);
  return {};
}

std::vector<ModelState> ModelLibrary::Index() const {
  std::map<std::pair<std::string, std::string>, ModelState> states;
  for (const auto& [name, model] : repository_->List()) {
    const std::string& version = model->package->version;
    states[{name, version}] = {name, version, "READY", ""};
  }
  const std::scoped_lock lock(mutex_);
  for (const auto& [name, outcomes] : outcomes_) {
    for (const Outcome& outcome : outcomes) {
      ModelState& state = states[{name, outcome.version}];
      if (state.state.empty()) state = {name, outcome.version, "UNAVAILABLE", ""};
      state.reason = outcome.reason;
    }
  }
  if (!loading_.empty()) {
    ModelState& state = states[{loading_, ""}];
    state = {loading_, "", "LOADING", ""};
  }
  std::vector<ModelState> index;
  for (auto& [key, state] : states) index.push_back(std::move(state));
  return index;
}

}  // namespace skerry
