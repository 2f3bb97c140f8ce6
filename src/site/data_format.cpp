#include "site/data_format.h"

#include "base/limits.h"
#include "codec/json.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr const char* kFile = "format.json";

Result<std::uint64_t> FormatOf(const std::filesystem::path& file) {
  const auto text = ReadFile(file, limits::kSmallReplyBytes);
  if (!text && text.error().code() == ErrorCode::kNotFound) return 1;
  if (!text) return tl::make_unexpected(text.error());
  auto format = [&]() -> Result<std::uint64_t> {
    SKERRY_ASSIGN_OR_RETURN(const Json json, ParseJson(*text));
    return JsonObject(json, "format").Uint("data_format");
  }();
  if (format) return format;
  return Fail(ErrorCode::kDataLoss, "{} is damaged: {}", file.string(), format.error().message());
}

}  // namespace

Status ClaimDataFormat(const std::filesystem::path& data) {
  SKERRY_ASSIGN_OR_RETURN(const std::uint64_t held, FormatOf(data / kFile));
  if (held < kDataFormats.reads_from || held > kDataFormats.reads_to)
    return Fail(ErrorCode::kFailedPrecondition,
                "{} is of data format {}, this skerry reads {} to {}: start it with the release "
                "that wrote it, or a later one",
                data.string(), held, kDataFormats.reads_from, kDataFormats.reads_to);
  std::error_code error;
  if (held == kDataFormats.writes && std::filesystem::exists(data / kFile, error)) return {};
  return WriteFileDurably(data / kFile, DumpJson(Json{{"data_format", kDataFormats.writes}}));
}

}  // namespace skerry
