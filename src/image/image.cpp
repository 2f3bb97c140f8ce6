#include "image/image.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/ids.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "codec/json.h"
#include "image/base_layer.h"
#include "image/image_config.h"
#include "image/image_types.h"
#include "image/sbom.h"
#include "image/system_root.h"
#include "oci/media_types.h"
#include "oci/medium_writer.h"
#include "oci/modelpack.h"
#include "storage/file.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHome = "usr/lib/skerry";  // the binary and lib/ stand there
constexpr std::array<std::string_view, 3> kPurposes{"serve", "site", "hub"};

// A library of ours: a file below lib/ beside the binary, and the layer that it is in.
struct OwnLibrary {
  std::string_view layer, file;
  ImagePurpose least;
};
constexpr std::array kLibraries{
    OwnLibrary{"onnxruntime", "libonnxruntime.so.1", ImagePurpose::kServe},
    OwnLibrary{"duckdb", "libduckdb.so", ImagePurpose::kSite},
    OwnLibrary{"xgboost", "xgboost/lib/libxgboost.so", ImagePurpose::kHub},
};
constexpr std::string_view kOpenMp = "xgboost_cpu.libs";  // a directory, that XGBoost looks in

std::vector<std::string> NamesIn(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

// What is put together, until it is written.
struct Plan {
  BaseLayer base;
  std::vector<LayerTree> trees;   // the base's is first
  std::optional<Artifact> model;  // as ModelPack
};

// All that there are, also those that this image does without: the base is then the same.
std::vector<fs::path> ProgramsOf(const ImageOptions& options) {
  std::vector<fs::path> programs{options.binary};
  const fs::path lib = options.binary.parent_path() / "lib";
  std::error_code error;
  for (const OwnLibrary& library : kLibraries)
    if (fs::is_regular_file(lib / library.file, error))
      programs.push_back(fs::canonical(lib / library.file, error));
  return programs;
}

Result<LayerTree> LibraryTree(const ImageOptions& options, const OwnLibrary& library) {
  const fs::path lib = options.binary.parent_path() / "lib";
  std::error_code error;
  const fs::path file = fs::canonical(lib / library.file, error);
  if (error)
    return Fail(ErrorCode::kNotFound, "an image for {} needs {}, which is not there",
                ImagePurposeName(options.purpose), (lib / library.file).string());
  LayerTree tree{std::string(library.layer)};
  tree.AddFile(fmt::format("{}/lib/{}", kHome, library.file), file, 0755);
  if (library.layer == "xgboost")
    for (const std::string& name : NamesIn(lib / kOpenMp))
      tree.AddFile(fmt::format("{}/lib/{}/{}", kHome, kOpenMp, name), lib / kOpenMp / name, 0755);
  return tree;
}

LayerTree BinaryTree(const ImageOptions& options) {
  LayerTree tree("skerry");
  tree.AddFile(fmt::format("{}/skerry", kHome), options.binary, 0755);
  tree.AddLink("usr/bin/skerry", "../lib/skerry/skerry");
  return tree;
}

LayerTree ModelTree(const ImageOptions& options, const Artifact& model) {
  LayerTree tree("model");
  for (const BlobSource& blob : model.blobs)
    if (const std::string file = blob.descriptor.Annotation(annotations::kModelFilePath);
        !file.empty())
      tree.AddFile(fmt::format("models/{}/{}", options.name, file), options.model / file);
  return tree;
}

Result<Plan> MakePlan(const ImageOptions& options, const SystemRoot& root) {
  Plan plan;
  SKERRY_ASSIGN_OR_RETURN(plan.base, MakeBaseLayer(root, ProgramsOf(options),
                                                   options.binary.parent_path() / "lib/system"));
  plan.trees.push_back(plan.base.tree);
  for (const OwnLibrary& library : kLibraries) {
    if (library.least > options.purpose) continue;
    SKERRY_ASSIGN_OR_RETURN(LayerTree tree, LibraryTree(options, library));
    plan.trees.push_back(std::move(tree));
    if (library.layer == "onnxruntime") plan.trees.push_back(BinaryTree(options));
  }
  if (options.model.empty()) return plan;
  SKERRY_ASSIGN_OR_RETURN(plan.model, PackModel(options.model, options.name, options.version));
  plan.trees.push_back(ModelTree(options, *plan.model));
  return plan;
}

Result<std::vector<Layer>> WriteLayers(const std::vector<LayerTree>& trees, const fs::path& work) {
  std::vector<Layer> layers(trees.size());
  SKERRY_RETURN_IF_ERROR(
      ForBlocks(trees.size(), 1, [&](std::size_t first, std::size_t count) -> Status {
        for (std::size_t i = first; i < first + count; ++i) {
          SKERRY_ASSIGN_OR_RETURN(layers[i], trees[i].Write(work / fmt::format("layer-{}", i)));
        }
        return {};
      }));
  return layers;
}

Artifact ImageArtifact(const std::vector<Layer>& layers, const std::string& config,
                       const Annotations& labels) {
  Artifact image;
  Manifest manifest;
  manifest.media_type = media_types::kImageManifest;
  image.blobs.push_back(BlobSource::OfBytes(std::string(media_types::kImageConfig), config));
  manifest.config = image.blobs.front().descriptor;
  for (const Layer& layer : layers) {
    manifest.layers.push_back(layer.blob.descriptor);
    image.blobs.push_back(layer.blob);
  }
  manifest.annotations = labels;
  image.manifest_bytes = manifest.ToJson();
  image.manifest.media_type = manifest.media_type;
  image.manifest.digest = Digest::Sha256(image.manifest_bytes);
  image.manifest.size = image.manifest_bytes.size();
  return image;
}

// An image of one platform, as an index lists it.
struct Platform {
  std::string name;  // "linux/amd64"
  Json descriptor;
  Artifact image;
  std::vector<Artifact> sboms;
};

Platform PlatformOf(Artifact image, const std::string& architecture) {
  Platform platform;
  platform.name = "linux/" + architecture;
  platform.descriptor = image.manifest.ToJson();
  platform.descriptor["platform"] = {{"os", "linux"}, {"architecture", architecture}};
  if (architecture == "arm64") platform.descriptor["platform"]["variant"] = "v8";
  platform.image = std::move(image);
  return platform;
}

bool IsIndex(const Descriptor& entry) { return entry.media_type == media_types::kImageIndex; }

Result<Descriptor> IndexOf(const LayoutReader& layout) {
  for (const Descriptor& entry : layout.entries())
    if (IsIndex(entry) && entry.Annotation(annotations::kKind) == annotations::kKindImage)
      return entry;
  return Fail(ErrorCode::kInvalidArgument,
              "the layout holds no image; make one with 'skerry image'");
}

// The SBOMs among the layout's entries that speak of `image`.
Result<std::vector<Artifact>> SbomsOf(const LayoutReader& layout, const Digest& image) {
  std::vector<Artifact> sboms;
  for (const Descriptor& entry : layout.entries()) {
    if (entry.artifact_type != media_types::kCycloneDx) continue;
    SKERRY_ASSIGN_OR_RETURN(Artifact sbom, layout.Read(entry));
    SKERRY_ASSIGN_OR_RETURN(const Manifest manifest, Manifest::Parse(sbom.manifest_bytes));
    if (manifest.subject && manifest.subject->digest == image) sboms.push_back(std::move(sbom));
  }
  return sboms;
}

// The images of a layout, with where they run. Their blobs stay in it.
Result<std::vector<Platform>> PlatformsIn(const LayoutReader& layout, const Descriptor& entry) {
  SKERRY_ASSIGN_OR_RETURN(const Artifact index, layout.ReadManifest(entry));
  SKERRY_ASSIGN_OR_RETURN(const Manifest parsed, Manifest::Parse(index.manifest_bytes));
  SKERRY_ASSIGN_OR_RETURN(const Json document, ParseJson(index.manifest_bytes));
  std::vector<Platform> platforms;
  for (std::size_t i = 0; i < parsed.manifests.size(); ++i) {
    const JsonObject descriptor(document.at("manifests").at(i), fmt::format("manifests[{}]", i));
    SKERRY_ASSIGN_OR_RETURN(const JsonObject where, descriptor.Object("platform"));
    SKERRY_ASSIGN_OR_RETURN(const std::string os, where.String("os"));
    SKERRY_ASSIGN_OR_RETURN(const std::string architecture, where.String("architecture"));
    Platform platform;
    platform.name = fmt::format("{}/{}", os, architecture);
    platform.descriptor = descriptor.json();
    SKERRY_ASSIGN_OR_RETURN(platform.image, layout.Read(parsed.manifests[i]));
    SKERRY_ASSIGN_OR_RETURN(platform.sboms, SbomsOf(layout, parsed.manifests[i].digest));
    platforms.push_back(std::move(platform));
  }
  return platforms;
}

Artifact IndexArtifact(const std::vector<Platform>& platforms, const Annotations& labels) {
  Json manifests = Json::array();
  for (const Platform& platform : platforms) manifests.push_back(platform.descriptor);
  Artifact index;
  index.manifest_bytes = DumpJson({{"schemaVersion", 2},
                                   {"mediaType", media_types::kImageIndex},
                                   {"manifests", std::move(manifests)},
                                   {"annotations", labels}});
  index.manifest.media_type = media_types::kImageIndex;
  index.manifest.digest = Digest::Sha256(index.manifest_bytes);
  index.manifest.size = index.manifest_bytes.size();
  return index;
}

Json EntryOf(const Artifact& artifact, std::string_view kind) {
  Descriptor entry = artifact.manifest;
  entry.annotations[std::string(annotations::kKind)] = kind;
  return entry.ToJson();
}

// Not by LayoutWriter, whose index lists every manifest: here the image index alone says which
// images there are.
Status WriteLayout(const fs::path& out, const Artifact& index,
                   const std::vector<Platform>& platforms, const std::string& version) {
  const MediumForm form = out.extension() == ".tar" ? MediumForm::kArchive : MediumForm::kDirectory;
  SKERRY_ASSIGN_OR_RETURN(MediumWriter medium,
                          MediumWriter::Open(out, form, "contents.json", "index.json", {}));
  const auto add = [&](const Artifact& artifact) -> Status {
    const auto ignored = [](std::uint64_t) {};
    for (const BlobSource& blob : artifact.blobs)
      SKERRY_RETURN_IF_ERROR(medium.AddBlob(blob, ignored));
    return medium.AddBlob({artifact.manifest, artifact.manifest_bytes}, ignored);
  };
  Json entries = Json::array({EntryOf(index, annotations::kKindImage)});
  entries[0]["annotations"][std::string(annotations::kRefName)] = version;
  for (const Platform& platform : platforms) {
    SKERRY_RETURN_IF_ERROR(add(platform.image));
    for (const Artifact& sbom : platform.sboms) {
      SKERRY_RETURN_IF_ERROR(add(sbom));
      entries.push_back(EntryOf(sbom, annotations::kKindSbom));
    }
  }
  SKERRY_RETURN_IF_ERROR(add(index));
  SKERRY_RETURN_IF_ERROR(medium.WriteFile("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  return medium.Finish("index.json", DumpJson({{"schemaVersion", 2},
                                               {"mediaType", media_types::kImageIndex},
                                               {"manifests", std::move(entries)}}));
}

Status CheckOptions(const ImageOptions& options) {
  SKERRY_RETURN_IF_ERROR(CheckName("image name", options.name));
  SKERRY_RETURN_IF_ERROR(CheckVersion("image version", options.version));
  if (options.purpose == ImagePurpose::kServe && options.model.empty())
    return Fail(ErrorCode::kInvalidArgument, "an image for serve needs a model package");
  if (options.purpose != ImagePurpose::kServe && !options.model.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "an image for {} holds no model: a hub has a registry, and a site gets its "
                "packages from its hub or a bundle",
                ImagePurposeName(options.purpose));
  return {};
}

std::vector<std::pair<std::string, Digest>> FilesOf(const std::optional<Artifact>& model) {
  std::vector<std::pair<std::string, Digest>> files;
  if (!model) return files;
  for (const BlobSource& blob : model->blobs)
    if (std::string file = blob.descriptor.Annotation(annotations::kModelFilePath); !file.empty())
      files.emplace_back(std::move(file), blob.descriptor.digest);
  return files;
}

ImageFacts FactsOf(const Artifact& image, const std::vector<Layer>& layers,
                   const std::string& architecture) {
  ImageFacts facts;
  facts.manifest = image.manifest.digest;
  facts.architecture = architecture;
  for (const Layer& layer : layers)
    facts.layers.push_back(
        {layer.name, layer.blob.descriptor.digest, layer.diff_id, layer.blob.descriptor.size});
  return facts;
}

// Those of other platforms in `join`, and this one; by name.
Result<std::vector<Platform>> WithJoined(Platform own, const fs::path& join) {
  std::vector<Platform> platforms;
  if (!join.empty()) {
    SKERRY_ASSIGN_OR_RETURN(const LayoutReader layout, LayoutReader::Open(join), join.string());
    SKERRY_ASSIGN_OR_RETURN(const Descriptor entry, IndexOf(layout), join.string());
    SKERRY_ASSIGN_OR_RETURN(platforms, PlatformsIn(layout, entry), join.string());
    std::erase_if(platforms, [&](const Platform& other) { return other.name == own.name; });
  }
  platforms.push_back(std::move(own));
  std::ranges::sort(platforms, {}, &Platform::name);
  return platforms;
}

}  // namespace

Result<ImagePurpose> ParseImagePurpose(std::string_view name) {
  const auto* const found = std::ranges::find(kPurposes, name);
  if (found != kPurposes.end())
    return static_cast<ImagePurpose>(std::distance(kPurposes.begin(), found));
  return Fail(ErrorCode::kInvalidArgument, "an image is for serve, site or hub, not for \"{}\"",
              name);
}

std::string_view ImagePurposeName(ImagePurpose purpose) {
  return kPurposes[static_cast<std::size_t>(purpose)];
}

Result<ImageFacts> BuildImage(const ImageOptions& options, const fs::path& out) {
  SKERRY_RETURN_IF_ERROR(CheckOptions(options));
  std::error_code error;
  if (fs::exists(out, error))
    return Fail(ErrorCode::kAlreadyExists, "{} is there already; choose another name or remove it",
                out.string());
  SKERRY_ASSIGN_OR_RETURN(const SystemRoot root, SystemRoot::Open(options.root));
  SKERRY_ASSIGN_OR_RETURN(const Plan plan, MakePlan(options, root));
  const fs::path above = fs::absolute(out).parent_path();
  SKERRY_ASSIGN_OR_RETURN(const TemporaryDirectory work,
                          TemporaryDirectory::Create("skerry-image", above));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Layer> layers, WriteLayers(plan.trees, work.path()));
  const Annotations labels =
      ImageLabels(options, plan.model ? plan.model->manifest.digest : Digest());
  Artifact image =
      ImageArtifact(layers, ImageConfig(options, plan.base.architecture, layers, labels), labels);
  ImageFacts facts = FactsOf(image, layers, plan.base.architecture);
  SKERRY_ASSIGN_OR_RETURN(Artifact sbom,
                          MakeDocumentArtifact(media_types::kCycloneDx, media_types::kCycloneDx,
                                               MakeSbom({options, facts, plan.base.packages,
                                                         root.Version(), FilesOf(plan.model)}),
                                               {}, image.manifest));
  facts.sbom = sbom.manifest.digest;
  Platform own = PlatformOf(std::move(image), plan.base.architecture);
  own.sboms.push_back(std::move(sbom));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Platform> platforms,
                          WithJoined(std::move(own), options.join));
  for (const Platform& platform : platforms) facts.platforms.push_back(platform.name);
  const Artifact index = IndexArtifact(platforms, labels);
  facts.index = index.manifest.digest;
  SKERRY_RETURN_IF_ERROR(WriteLayout(out, index, platforms, options.version));
  return facts;
}

Result<Digest> PushImage(const LayoutReader& layout, RegistryClient& registry,
                         std::string_view repository, std::string_view tag) {
  SKERRY_ASSIGN_OR_RETURN(const Descriptor entry, IndexOf(layout));
  SKERRY_ASSIGN_OR_RETURN(const Artifact index, layout.ReadManifest(entry));
  SKERRY_ASSIGN_OR_RETURN(const std::vector<Platform> platforms, PlatformsIn(layout, entry));
  for (const Platform& platform : platforms)
    SKERRY_RETURN_IF_ERROR(registry.PushArtifact(repository, "", platform.image));
  SKERRY_RETURN_IF_ERROR(
      registry.PutManifest(repository, tag, index.manifest_bytes, media_types::kImageIndex));
  for (const Platform& platform : platforms)
    for (const Artifact& sbom : platform.sboms)
      SKERRY_RETURN_IF_ERROR(registry.PushArtifact(repository, "", sbom));
  return entry.digest;
}

}  // namespace skerry
