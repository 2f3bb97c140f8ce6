#include "oci/release.h"

#include <elf.h>

#include <algorithm>
#include <system_error>

#include "base/ids.h"
#include "base/limits.h"
#include "codec/json.h"
#include "oci/append_file.h"
#include "oci/digest_file.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kReleaseFormat = "skerry-release/1";
constexpr std::size_t kNameBytes = 200;

bool IsPartOfAName(std::string_view part) {
  return !part.empty() && part.front() != '.' && std::ranges::all_of(part, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '+';
  });
}

// "skerry", or below "lib/" a path of plain names.
bool IsReleaseFile(std::string_view name) {
  if (name == "skerry") return true;
  constexpr std::string_view kLibraries = "lib/";
  if (name.size() > kNameBytes || !name.starts_with(kLibraries)) return false;
  std::string_view rest = name.substr(kLibraries.size());
  while (true) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    if (!IsPartOfAName(rest.substr(0, end))) return false;
    if (end == rest.size()) return true;
    rest.remove_prefix(end + 1);
  }
}

// A name for linkers, as libx.so of libx.so.1.
bool IsLinkToANeighbour(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return !error && !target.has_parent_path() &&
         fs::is_regular_file(fs::symlink_status(path.parent_path() / target, error));
}

Status UnpackFile(const Descriptor& layer, const BlobGetter& get_blob, const fs::path& directory) {
  SKERRY_ASSIGN_OR_RETURN(const std::string name, ReleaseFileName(layer));
  SKERRY_ASSIGN_OR_RETURN(const fs::path source, get_blob(layer), name);
  const fs::path target = directory / name;
  SKERRY_RETURN_IF_ERROR(CreateDirectories(target.parent_path(), 0700));
  SKERRY_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(target, AppendFile::Mode::kCreateNew));
  const auto append = [&](std::string_view piece) -> Status {
    if (file.size() + piece.size() > layer.size)
      return Fail(ErrorCode::kDataLoss, "blob {} has more than the {} bytes that are due",
                  layer.digest.ToString(), layer.size);
    return file.Write(piece);
  };
  SKERRY_RETURN_IF_ERROR(ReadPieces(source, 0, append), name);
  SKERRY_RETURN_IF_ERROR(VerifyFile(target, layer.digest, layer.size), name);
  std::error_code error;
  fs::permissions(target, fs::perms::owner_all, error);
  if (error)
    return Fail(ErrorCode::kInternal, "making {} executable: {}", target.string(), error.message());
  return file.Sync();
}

Status SyncDirectories(const fs::path& directory) {
  std::error_code error;
  for (auto entry = fs::recursive_directory_iterator(directory, error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error))
    if (entry->is_directory(error)) SKERRY_RETURN_IF_ERROR(SyncDirectory(entry->path()));
  if (error)
    return Fail(ErrorCode::kInternal, "syncing {}: {}", directory.string(), error.message());
  return SyncDirectory(directory);
}

}  // namespace

std::string ReleaseFacts::ToJson() const {
  Json json{
      {"format", kReleaseFormat},
      {"version", version},
      {"build", build},
      {"os", os},
      {"architecture", architecture},
      {"data",
       {{"writes", data.writes}, {"reads_from", data.reads_from}, {"reads_to", data.reads_to}}}};
  if (!name.empty()) json["name"] = name;
  return DumpJson(json);
}

Result<ReleaseFacts> ReleaseFacts::FromJson(std::string_view text) {
  SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(text, limits::kSmallReplyBytes), "release");
  const JsonObject object(json, "release");
  SKERRY_ASSIGN_OR_RETURN(const std::string format, object.String("format"));
  if (format != kReleaseFormat)
    return Fail(ErrorCode::kUnimplemented, "release.format is \"{}\", this program reads {}",
                format, kReleaseFormat);
  ReleaseFacts facts;
  SKERRY_ASSIGN_OR_RETURN(facts.name, object.StringOr("name", ""));
  SKERRY_ASSIGN_OR_RETURN(facts.version, object.String("version"));
  SKERRY_ASSIGN_OR_RETURN(facts.build, object.String("build"));
  SKERRY_ASSIGN_OR_RETURN(facts.os, object.String("os"));
  SKERRY_ASSIGN_OR_RETURN(facts.architecture, object.String("architecture"));
  SKERRY_ASSIGN_OR_RETURN(const JsonObject data, object.Object("data"));
  SKERRY_ASSIGN_OR_RETURN(facts.data.writes, data.Uint("writes"));
  SKERRY_ASSIGN_OR_RETURN(facts.data.reads_from, data.Uint("reads_from"));
  SKERRY_ASSIGN_OR_RETURN(facts.data.reads_to, data.Uint("reads_to"));
  if (!facts.name.empty()) SKERRY_RETURN_IF_ERROR(CheckName("release name", facts.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("release version", facts.version));
  SKERRY_RETURN_IF_ERROR(CheckVersion("release build", facts.build));
  if (facts.data.reads_from > facts.data.writes || facts.data.writes > facts.data.reads_to)
    return Fail(ErrorCode::kInvalidArgument,
                "release.data: it writes {} and reads {} to {}; it must read what it writes",
                facts.data.writes, facts.data.reads_from, facts.data.reads_to);
  return facts;
}

std::string_view ArchitectureOfMachine(std::uint16_t elf_machine) {
  if (elf_machine == EM_X86_64) return "amd64";
  if (elf_machine == EM_AARCH64) return "arm64";
  return "";
}

std::string_view OwnArchitecture() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#else
  return "";
#endif
}

Result<std::map<std::string, fs::path>> ReleaseFilesIn(const fs::path& directory) {
  std::map<std::string, fs::path> files;
  std::error_code error;
  if (!fs::is_regular_file(directory / "skerry", error))
    return Fail(ErrorCode::kNotFound, "{} has no program skerry: it is no release",
                directory.string());
  files.emplace("skerry", directory / "skerry");
  if (!fs::is_directory(directory / "lib", error)) return files;
  for (auto entry = fs::recursive_directory_iterator(directory / "lib", error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const fs::file_type type = entry->symlink_status(error).type();
    if (type == fs::file_type::directory || IsLinkToANeighbour(entry->path())) continue;
    std::string name = entry->path().lexically_relative(directory).generic_string();
    if (type != fs::file_type::regular || !IsReleaseFile(name))
      return Fail(ErrorCode::kInvalidArgument,
                  "{} does not belong into a release: plain files with names of letters, digits, "
                  ". _ - + do",
                  entry->path().string());
    files.emplace(std::move(name), entry->path());
    if (files.size() > limits::kReleaseFiles)
      return Fail(ErrorCode::kTooLarge, "{} has more than {} files (kReleaseFiles)",
                  directory.string(), limits::kReleaseFiles);
  }
  if (error)
    return Fail(ErrorCode::kInternal, "listing {}: {}", directory.string(), error.message());
  return files;
}

Result<Artifact> PackRelease(const fs::path& directory, const ReleaseFacts& facts) {
  SKERRY_RETURN_IF_ERROR(CheckName("release name", facts.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("release version", facts.version));
  SKERRY_ASSIGN_OR_RETURN(const auto files, ReleaseFilesIn(directory));
  std::vector<BlobSource> layers;
  for (const auto& [name, path] : files) {
    SKERRY_ASSIGN_OR_RETURN(BlobSource layer,
                            BlobSource::OfFile(std::string(media_types::kReleaseFile), path,
                                               {{std::string(annotations::kTitle), name}}));
    layers.push_back(std::move(layer));
  }
  BlobSource config = BlobSource::OfBytes(std::string(media_types::kReleaseConfig), facts.ToJson());
  return MakeArtifact(media_types::kReleaseArtifact, std::move(config), std::move(layers),
                      {{std::string(annotations::kTitle), facts.name},
                       {std::string(annotations::kVersion), facts.version}});
}

Status CheckReleaseManifest(const Manifest& manifest) {
  if (manifest.EffectiveArtifactType() != media_types::kReleaseArtifact || !manifest.config ||
      manifest.config->media_type != media_types::kReleaseConfig)
    return Fail(ErrorCode::kInvalidArgument, "an artifact of type {} is no release of skerry",
                manifest.EffectiveArtifactType());
  if (manifest.config->size > limits::kSmallReplyBytes)
    return Fail(ErrorCode::kTooLarge, "its config has {} bytes, the limit is {}",
                manifest.config->size, limits::kSmallReplyBytes);
  if (manifest.layers.size() > limits::kReleaseFiles)
    return Fail(ErrorCode::kTooLarge, "it has {} files, the limit is {} (kReleaseFiles)",
                manifest.layers.size(), limits::kReleaseFiles);
  std::uint64_t left = limits::kReleaseBytes;
  bool has_program = false;
  for (const Descriptor& layer : manifest.layers) {
    if (layer.size > left)
      return Fail(ErrorCode::kTooLarge, "its files are over the limit of {} bytes (kReleaseBytes)",
                  limits::kReleaseBytes);
    left -= layer.size;
    SKERRY_ASSIGN_OR_RETURN(const std::string name, ReleaseFileName(layer));
    has_program = has_program || name == "skerry";
  }
  if (has_program) return {};
  return Fail(ErrorCode::kInvalidArgument, "it has no program skerry");
}

Result<std::string> ReleaseFileName(const Descriptor& layer) {
  std::string name = layer.Annotation(annotations::kTitle);
  if (layer.media_type != media_types::kReleaseFile)
    return Fail(ErrorCode::kUnimplemented, "\"{}\" is of type {}, which is no file of a release",
                name, layer.media_type);
  if (!IsReleaseFile(name))
    return Fail(ErrorCode::kPermissionDenied,
                "layer {} wants to be the file \"{}\", which is none of a release",
                layer.digest.ToString(), name);
  return name;
}

Status UnpackRelease(const Manifest& manifest, const BlobGetter& get_blob, const fs::path& target) {
  SKERRY_RETURN_IF_ERROR(CheckReleaseManifest(manifest));
  SKERRY_RETURN_IF_ERROR(CreateDirectories(target, 0700));
  for (const Descriptor& layer : manifest.layers)
    SKERRY_RETURN_IF_ERROR(UnpackFile(layer, get_blob, target));
  SKERRY_ASSIGN_OR_RETURN(const fs::path config, get_blob(*manifest.config), "config");
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(config, limits::kSmallReplyBytes));
  SKERRY_RETURN_IF_ERROR(VerifyBytes(text, manifest.config->digest, manifest.config->size));
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(target / kReleaseJson, text));
  return SyncDirectories(target);
}

}  // namespace skerry
