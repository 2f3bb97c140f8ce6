#include "hub/receipt_shelf.h"

#include "base/limits.h"
#include "base/log.h"
#include "oci/artifact.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

constexpr std::string_view kNewestTag = "latest";
constexpr std::size_t kIncarnationChars = 12;
constexpr int kAttempts = 3;  // the second is that of another incarnation

}  // namespace

Result<std::string> ReceiptShelf::Newest(std::string_view site) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    SKERRY_RETURN_IF_ERROR(replay_->Await(site));
    SKERRY_ASSIGN_OR_RETURN(std::optional<std::string> receipt, Make(site));
    if (receipt) return std::move(*receipt);
  }
  return Fail(ErrorCode::kUnavailable, "the hub's registry changes while its receipts are read");
}

Result<std::optional<std::string>> ReceiptShelf::Make(std::string_view site) {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(IssuedReceipt receipt, ingest_->MakeReceipt(site));
  const std::string repository = fmt::format("sites/{}/receipts", site);
  const std::string tag =
      fmt::format("{}-{}", receipt.incarnation.substr(0, kIncarnationChars), receipt.counter);
  // One that is damaged, or that was cut off between its tags, is made anew.
  if (auto stored = Stored(repository, tag)) return std::optional(std::move(*stored));
  if (!compared_.contains(site)) {
    SKERRY_ASSIGN_OR_RETURN(const bool restored, KnowsMore(site, repository));
    compared_.emplace(site);
    if (restored) return std::optional<std::string>();
  }
  SKERRY_ASSIGN_OR_RETURN(
      const Artifact artifact,
      MakeDocumentArtifact(media_types::kReceiptArtifact, media_types::kReceiptLayer,
                           receipt.envelope,
                           {{std::string(annotations::kTitle), "receipt.dsse.json"}}));
  for (const std::string_view name : {std::string_view(tag), kNewestTag}) {
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const Digest digest,
                            registry_->PutArtifact(repository, name, artifact));
  }
  return std::optional(std::move(receipt.envelope));
}

// A receipt that cannot be read, or of another hub's keys, tells nothing; a registry that cannot be
// reached may be about to.
Result<bool> ReceiptShelf::KnowsMore(std::string_view site, std::string_view repository) {
  const auto artifact = registry_->GetArtifact(repository, kNewestTag);
  if (!artifact) {
    if (artifact.error().code() == ErrorCode::kUnavailable)
      return tl::make_unexpected(artifact.error());
    return false;
  }
  const auto envelope = ReadDocument(*artifact, media_types::kReceiptLayer, limits::kReceiptBytes);
  if (!envelope) return false;
  const auto restored = ingest_->TakeReceipt(site, *envelope, ReceiptFrom::kRegistry);
  if (restored) return *restored;
  LogWarning("the registry's newest receipt tells nothing site={} reason=\"{}\"", site,
             restored.error().message());
  return false;
}

Result<std::string> ReceiptShelf::Stored(std::string_view repository, std::string_view tag) {
  SKERRY_ASSIGN_OR_RETURN(const Digest wanted, registry_->Resolve(repository, tag));
  SKERRY_ASSIGN_OR_RETURN(const Digest newest, registry_->Resolve(repository, kNewestTag));
  if (wanted != newest)
    return Fail(ErrorCode::kNotFound, "{} is not the newest of {}", tag, repository);
  SKERRY_ASSIGN_OR_RETURN(const Artifact artifact, registry_->GetArtifact(repository, tag));
  return ReadDocument(artifact, media_types::kReceiptLayer, limits::kReceiptBytes);
}

}  // namespace skerry
