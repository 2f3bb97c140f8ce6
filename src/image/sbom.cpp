#include "image/sbom.h"

#include <array>

#include "codec/json.h"

namespace skerry {
namespace {

// Compiled into the binary, or beside it; the versions are those of this build (CMakeLists.txt).
struct Part {
  const char* name;
  const char* version;
  const char* licence;
  const char* purl;    // without the version
  ImagePurpose least;  // in images of this purpose and those behind it
};
constexpr std::array kParts{
    Part{"onnxruntime", SKERRY_ONNXRUNTIME_VERSION, "MIT",
         "pkg:maven/com.microsoft.onnxruntime/onnxruntime", ImagePurpose::kServe},
    Part{"sqlite", SKERRY_SQLITE_VERSION, "blessing", "pkg:generic/sqlite", ImagePurpose::kServe},
    Part{"boost", SKERRY_BOOST_VERSION, "BSL-1.0", "pkg:generic/boost", ImagePurpose::kServe},
    Part{"nlohmann-json", SKERRY_NLOHMANN_JSON_VERSION, "MIT", "pkg:github/nlohmann/json",
         ImagePurpose::kServe},
    Part{"CLI11", SKERRY_CLI11_VERSION, "BSD-3-Clause", "pkg:github/CLIUtils/CLI11",
         ImagePurpose::kServe},
    Part{"duckdb", SKERRY_DUCKDB_VERSION, "MIT", "pkg:npm/%40duckdb/node-bindings",
         ImagePurpose::kSite},
    Part{"xgboost", SKERRY_XGBOOST_VERSION, "Apache-2.0", "pkg:pypi/xgboost-cpu",
         ImagePurpose::kHub},
};

Json Licence(const char* id) { return Json::array({{{"license", {{"id", id}}}}}); }

// A UUID that belongs to the image (RFC 9562, version 8).
std::string SerialOf(const Digest& manifest) {
  std::string hex(manifest.hex());
  hex[12] = '8';
  hex[16] = 'a';
  return fmt::format("urn:uuid:{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4),
                     hex.substr(12, 4), hex.substr(16, 4), hex.substr(20, 12));
}

std::string Escaped(std::string_view text) {  // of a purl's version
  std::string escaped;
  for (const char c : text)
    escaped += c == '+' ? "%2B" : c == ':' ? "%3A" : c == '~' ? "~" : std::string(1, c);
  return escaped;
}

Json PackageComponent(const DebianPackage& package, const std::string& debian_version) {
  std::string purl = fmt::format("pkg:deb/debian/{}@{}?arch={}", package.name,
                                 Escaped(package.version), package.architecture);
  if (!debian_version.empty()) purl += fmt::format("&distro=debian-{}", debian_version);
  return {{"type", "library"},
          {"bom-ref", purl},
          {"name", package.name},
          {"version", package.version},
          {"purl", purl}};
}

Json PartComponent(const Part& part) {
  const std::string purl = fmt::format("{}@{}", part.purl, part.version);
  return {{"type", "library"},       {"bom-ref", purl}, {"name", part.name},
          {"version", part.version}, {"purl", purl},    {"licenses", Licence(part.licence)}};
}

Json FileComponent(const std::string& name, const Digest& digest) {
  return {{"type", name.ends_with(".onnx") ? "machine-learning-model" : "file"},
          {"bom-ref", fmt::format("{}@{}", name, digest.ToString())},
          {"name", name},
          {"hashes", Json::array({{{"alg", "SHA-256"}, {"content", digest.hex()}}})}};
}

}  // namespace

std::string MakeSbom(const SbomSubject& subject) {
  const ImageOptions& options = subject.options;
  Json components = Json::array();
  components.push_back({{"type", "application"},
                        {"bom-ref", "skerry@" + options.skerry_version},
                        {"name", "skerry"},
                        {"version", options.skerry_version},
                        {"licenses", Licence("Apache-2.0")}});
  for (const Part& part : kParts)
    if (part.least <= options.purpose) components.push_back(PartComponent(part));
  for (const DebianPackage& package : subject.packages)
    components.push_back(PackageComponent(package, subject.debian_version));
  for (const auto& [name, digest] : subject.model_files)
    components.push_back(FileComponent(name, digest));
  const std::string image = fmt::format("pkg:oci/{}@{}?arch={}&tag={}", options.name,
                                        Escaped(subject.facts.manifest.ToString()),
                                        subject.facts.architecture, options.version);
  const Json document = {
      {"bomFormat", "CycloneDX"},
      {"specVersion", "1.6"},
      {"serialNumber", SerialOf(subject.facts.manifest)},
      {"version", 1},
      {"metadata",
       {{"component",
         {{"type", "container"},
          {"bom-ref", image},
          {"name", options.name},
          {"version", options.version},
          {"purl", image}}},
        {"tools",
         {{"components", Json::array({{{"type", "application"},
                                       {"name", "skerry"},
                                       {"version", options.skerry_version}}})}}}}},
      {"components", std::move(components)}};
  return DumpJson(document);
}

}  // namespace skerry
