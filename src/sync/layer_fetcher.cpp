#include "sync/layer_fetcher.h"

#include <algorithm>

#include "base/delta_limits.h"
#include "base/log.h"
#include "codec/patch.h"
#include "oci/append_file.h"
#include "oci/digest_file.h"

namespace skerry {
namespace {

// The link or this machine is at fault, not the patch.
bool SaysNothingOfThePatch(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded ||
         code == ErrorCode::kResourceExhausted;
}

Status Discarded(const Result<std::string>& bytes) {
  return bytes ? Status() : Status(tl::make_unexpected(bytes.error()));
}

}  // namespace

void LayerTraffic::Add(const LayerTraffic& other) {
  whole_bytes += other.whole_bytes;
  patch_bytes += other.patch_bytes;
  patched_bytes += other.patched_bytes;
  held_bytes += other.held_bytes;
  refused_patches += other.refused_patches;
  if (!other.refusal.empty()) refusal = other.refusal;
}

std::string LayerTraffic::Text() const {
  if (patched_bytes + held_bytes + refused_patches == 0) return "";
  std::string text =
      fmt::format("{} of {} bytes of layers came: {} whole, {} by patches of {}; {} were here",
                  whole_bytes + patch_bytes, whole_bytes + patched_bytes + held_bytes, whole_bytes,
                  patched_bytes, patch_bytes, held_bytes);
  if (refused_patches > 0)
    text += fmt::format("; {} patches were refused, the last since {}", refused_patches, refusal);
  return text;
}

void LayerFetcher::LookForPatches(const Digest& package, const Manifest& manifest,
                                  const std::vector<Digest>& holds) {
  const bool all_here = std::ranges::all_of(
      manifest.layers, [&](const Descriptor& layer) { return FindHeld(layer.digest) != nullptr; });
  if (!all_here) deltas_ = parts_.source->Deltas(package, holds);
}

const HeldFile* LayerFetcher::FindHeld(const Digest& digest) const {
  const auto held = std::ranges::find_if(parts_.held, [&](const HeldFile& file) {
    return file.digest == digest && !bad_files_.contains(file.path);
  });
  return held == parts_.held.end() ? nullptr : &*held;
}

void LayerFetcher::NoteBad(const HeldFile& held) {
  bad_files_.insert(held.path);
  damaged_.insert(held.package);
}

std::optional<std::filesystem::path> LayerFetcher::FromHeld(const Descriptor& layer) {
  while (const HeldFile* held = FindHeld(layer.digest)) {
    const Status whole = VerifyFile(held->path, layer.digest, layer.size);
    if (whole) return held->path;
    LogWarning("a file of a package that is held is not used: {}", whole.error().message());
    NoteBad(*held);
  }
  return std::nullopt;
}

Result<std::string> LayerFetcher::ReadBase(const LayerDelta& delta) {
  if (!delta.base) return std::string();
  Error reason =
      Fail(ErrorCode::kNotFound, "its base {} is not here", delta.base->ToString()).value();
  while (const HeldFile* held = FindHeld(*delta.base)) {
    auto bytes = ReadFile(held->path, limits::kDeltaLayerBytes);
    Status whole = Discarded(bytes);
    if (whole) whole = VerifyBytes(*bytes, held->digest, held->size);
    if (whole) return bytes;
    reason = whole.error();
    NoteBad(*held);
  }
  return tl::make_unexpected(std::move(reason));
}

Result<std::filesystem::path> LayerFetcher::FetchPatch(const Descriptor& layer,
                                                       const LayerDelta& delta) {
  if (layer.size > limits::kDeltaLayerBytes)
    return Fail(ErrorCode::kTooLarge, "the layer has {} bytes, the limit is {} (kDeltaLayerBytes)",
                layer.size, limits::kDeltaLayerBytes);
  if (delta.patch.size < layer.size) return parts_.source->Patch(delta.patch);
  return Fail(ErrorCode::kTooLarge, "the patch has {} bytes, the layer {}", delta.patch.size,
              layer.size);
}

Result<std::filesystem::path> LayerFetcher::Apply(const std::filesystem::path& patch,
                                                  const Descriptor& layer,
                                                  const LayerDelta& delta) {
  SKERRY_ASSIGN_OR_RETURN(const std::string base, ReadBase(delta));
  if (!made_) {
    SKERRY_ASSIGN_OR_RETURN(made_, TemporaryDirectory::Create(kRebuiltPrefix, parts_.scratch));
  }
  std::filesystem::path target = made_->path() / std::string(layer.digest.hex());
  SKERRY_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(target, AppendFile::Mode::kCreateNew));
  DigestHasher hasher(layer.digest.algorithm());
  SKERRY_ASSIGN_OR_RETURN(
      PatchDecoder decoder,
      PatchDecoder::Create(base, layer.size, [&](std::string_view piece) -> Status {
        hasher.Update(piece);
        return file.Write(piece);
      }));
  Status made = ReadPieces(patch, 0, [&](std::string_view piece) { return decoder.Feed(piece); });
  if (made) made = decoder.Finish();
  if (made && hasher.Finish() != layer.digest)
    made =
        Fail(ErrorCode::kDataLoss, "the patch does not make the layer {}", layer.digest.ToString());
  if (made) return target;
  SKERRY_RETURN_IF_ERROR(RemoveFile(target));
  return tl::make_unexpected(made.error());
}

// Looks at the base before anything is fetched, so that a damaged one costs no bytes of a link;
// reads it once more when it is needed, so that nothing of it is held meanwhile.
Result<std::filesystem::path> LayerFetcher::FromPatch(const Descriptor& layer,
                                                      const LayerDelta& delta) {
  if (const Status base = Discarded(ReadBase(delta)); !base) {
    NoteRefusal(delta, base.error());
    return tl::make_unexpected(base.error());
  }
  auto made = FetchPatch(layer, delta);
  if (made) made = Apply(*made, layer, delta);
  if (made || SaysNothingOfThePatch(made.error().code())) return made;
  if (parts_.refused.size() < limits::kRefusedPatches) parts_.refused.insert(delta.patch.digest);
  NoteRefusal(delta, made.error());
  return made;
}

void LayerFetcher::NoteRefusal(const LayerDelta& delta, const Error& reason) {
  ++traffic_.refused_patches;
  traffic_.refusal = reason.message();
  LogWarning("a patch is refused, the layer is to come whole layer={} patch={} reason=\"{}\"",
             delta.layer.ToString(), delta.patch.digest.ToString(), traffic_.refusal);
}

Result<std::filesystem::path> LayerFetcher::Fetch(const std::string& repository,
                                                  const Descriptor& layer) {
  if (auto here = FromHeld(layer)) {
    traffic_.held_bytes += layer.size;
    return *std::move(here);
  }
  std::string refusal;
  const auto delta = std::ranges::find(deltas_, layer.digest, &LayerDelta::layer);
  if (delta != deltas_.end() && !parts_.refused.contains(delta->patch.digest)) {
    auto made = FromPatch(layer, *delta);
    if (made) {
      traffic_.patch_bytes += delta->patch.size;
      traffic_.patched_bytes += layer.size;
      return made;
    }
    if (SaysNothingOfThePatch(made.error().code())) return made;
    refusal = made.error().message();
  }
  auto whole = parts_.source->Blob(repository, layer);
  if (whole) traffic_.whole_bytes += layer.size;
  if (whole || refusal.empty()) return whole;
  return Fail(whole.error().code(), "{}; its patch was refused: {}", whole.error().message(),
              refusal);
}

}  // namespace skerry
