#include "sync/shipment_artifact.h"

#include <system_error>

#include "base/limits.h"
#include "base/link_limits.h"
#include "oci/media_types.h"

namespace skerry {
namespace {

// What is embedded needs no request of its own. By size and order alone, so that the same shipment
// is the same artifact on every road.
Status EmbedIfSmall(BlobSource& blob, std::uint64_t& left) {
  if (blob.descriptor.size > left) return {};
  SKERRY_ASSIGN_OR_RETURN(std::string bytes, blob.Read(left));
  // A damaged segment is left to the upload, which finds out and says so.
  if (bytes.size() != blob.descriptor.size || Digest::Sha256(bytes) != blob.descriptor.digest)
    return {};
  left -= blob.descriptor.size;
  blob.descriptor.data = std::move(bytes);
  return {};
}

}  // namespace

Result<Artifact> MakeShipmentArtifact(const Shipment& shipment) {
  std::vector<BlobSource> layers;
  for (const auto& [digest, path] : shipment.segments) {
    std::error_code error;
    BlobSource layer;
    layer.descriptor.media_type = std::string(media_types::kSegmentLayer);
    layer.descriptor.digest = digest;
    layer.descriptor.size = std::filesystem::file_size(path, error);
    if (error)
      return Fail(ErrorCode::kNotFound, "segment {} is gone: {}", digest.ToString(),
                  error.message());
    layer.content = path;
    layers.push_back(std::move(layer));
  }
  if (layers.empty()) layers.push_back(EmptyConfig());
  BlobSource statement =
      BlobSource::OfBytes(std::string(media_types::kStatementConfig), shipment.statement_envelope);
  std::uint64_t left = limits::kEmbeddedBytes;
  SKERRY_RETURN_IF_ERROR(EmbedIfSmall(statement, left));
  for (BlobSource& layer : layers) SKERRY_RETURN_IF_ERROR(EmbedIfSmall(layer, left));
  return MakeArtifact(media_types::kShipmentArtifact, std::move(statement), std::move(layers));
}

std::string ShipmentRepository(std::string_view site) {
  return fmt::format("sites/{}/outbox", site);
}

}  // namespace skerry
