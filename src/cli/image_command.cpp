// image: a runnable container image of this binary.
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/environment.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "codec/json.h"
#include "image/image.h"

namespace skerry {
namespace {

// https://reproducible-builds.org/specs/source-date-epoch; 0 where it is not set.
Result<std::int64_t> SourceDate() {
  const std::string text = FromEnvironment("SOURCE_DATE_EPOCH");
  std::int64_t seconds = 0;
  if (text.empty()) return seconds;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  // The last second that four digits of a year can tell.
  constexpr std::int64_t kLast = 253'402'300'799;
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0 || seconds > kLast)
    return Fail(ErrorCode::kInvalidArgument,
                "SOURCE_DATE_EPOCH is \"{}\", must be seconds since 1970", text);
  return seconds;
}

Json FactsJson(const ImageFacts& facts) {
  Json layers = Json::array();
  for (const ImageLayerFacts& layer : facts.layers)
    layers.push_back({{"name", layer.name},
                      {"digest", layer.digest.ToString()},
                      {"diff_id", layer.diff_id.ToString()},
                      {"bytes", layer.bytes}});
  return {{"index", facts.index.ToString()}, {"manifest", facts.manifest.ToString()},
          {"sbom", facts.sbom.ToString()},   {"architecture", facts.architecture},
          {"platforms", facts.platforms},    {"layers", std::move(layers)}};
}

std::string FactsText(const ImageFacts& facts, const std::string& out) {
  std::uint64_t bytes = 0;
  std::string text;
  for (const ImageLayerFacts& layer : facts.layers) {
    text += fmt::format("  {:<12} {:>12}  {}\n", layer.name, WithThousands(layer.bytes),
                        layer.digest.ToString());
    bytes += layer.bytes;
  }
  return fmt::format("{}: {}\n{}  {:<12} {:>12}  bytes, for {}\n", out, facts.index.ToString(),
                     text, "together", WithThousands(bytes), fmt::join(facts.platforms, ", "));
}

}  // namespace

CommandRun DeclareImage(CLI::App& app) {
  struct Arguments {
    ImageOptions options;
    std::string purpose = "serve", out;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  ImageOptions& options = args->options;
  options.skerry_version = SKERRY_VERSION;
  app.add_option("package", options.model, "the model package's directory; for serve alone");
  app.add_option("--for", args->purpose, "what the image runs: serve, site or hub")
      ->capture_default_str();
  app.add_option("--name", options.name,
                 "the image's name, and the model's; else skerry-site, ...");
  app.add_option("--version", options.version, "its version; else that of skerry");
  app.add_option("--out", args->out,
                 "the OCI image layout to make: a directory, or one file NAME.tar")
      ->required();
  app.add_option("--root", options.root,
                 "the system that libraries are taken from: this one, or a directory with another "
                 "Debian root")
      ->capture_default_str();
  app.add_option("--binary", options.binary,
                 "the skerry that the image runs, with lib/ beside it; this one by default");
  app.add_option("--join", options.join,
                 "a layout made for another processor, whose images the new one lists too");
  app.add_flag("--json", args->json, "print the digests and sizes as JSON");
  return [args]() -> Status {
    ImageOptions& image = args->options;
    SKERRY_ASSIGN_OR_RETURN(image.purpose, ParseImagePurpose(args->purpose));
    SKERRY_ASSIGN_OR_RETURN(image.created_s, SourceDate());
    if (image.name.empty() && image.model.empty()) image.name = "skerry-" + args->purpose;
    if (image.version.empty() && image.model.empty()) image.version = SKERRY_VERSION;
    if (image.name.empty() || image.version.empty())
      return Fail(ErrorCode::kInvalidArgument, "name the model: --name NAME --version VERSION");
    std::error_code error;
    image.binary = std::filesystem::canonical(
        image.binary.empty() ? std::filesystem::path("/proc/self/exe") : image.binary, error);
    if (error) return Fail(ErrorCode::kNotFound, "{}: {}", image.binary.string(), error.message());
    SKERRY_ASSIGN_OR_RETURN(const ImageFacts facts, BuildImage(image, args->out));
    std::fputs(
        args->json ? DumpJsonPretty(FactsJson(facts)).c_str() : FactsText(facts, args->out).c_str(),
        stdout);
    return {};
  };
}

}  // namespace skerry
