#include "sync/shipment_artifact.h"

#include <system_error>

#include "oci/media_types.h"

namespace skerry {

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
  return MakeArtifact(
      media_types::kShipmentArtifact,
      BlobSource::OfBytes(std::string(media_types::kStatementConfig), shipment.statement_envelope),
      std::move(layers));
}

std::string ShipmentRepository(std::string_view site) {
  return fmt::format("sites/{}/outbox", site);
}

}  // namespace skerry
