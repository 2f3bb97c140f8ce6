#include "hub/receipt_shelf.h"

#include "base/limits.h"
#include "oci/artifact.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

constexpr std::string_view kNewestTag = "latest";
constexpr std::size_t kIncarnationChars = 12;

}  // namespace

Result<std::string> ReceiptShelf::Newest(std::string_view site) {
  const std::lock_guard lock(mutex_);
  SKERRY_ASSIGN_OR_RETURN(IssuedReceipt receipt, ingest_->MakeReceipt(site));
  const std::string repository = fmt::format("sites/{}/receipts", site);
  const std::string tag =
      fmt::format("{}-{}", receipt.incarnation.substr(0, kIncarnationChars), receipt.counter);
  // One that is damaged, or that was cut off between its tags, is made anew.
  if (auto stored = Stored(repository, tag)) return stored;
  SKERRY_ASSIGN_OR_RETURN(
      const Artifact artifact,
      MakeDocumentArtifact(media_types::kReceiptArtifact, media_types::kReceiptLayer,
                           receipt.envelope,
                           {{std::string(annotations::kTitle), "receipt.dsse.json"}}));
  for (const std::string_view name : {std::string_view(tag), kNewestTag}) {
    SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const Digest digest,
                            registry_->PutArtifact(repository, name, artifact));
  }
  return std::move(receipt.envelope);
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
