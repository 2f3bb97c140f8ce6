// An artifact: a manifest and where its blobs are. What gets pushed, put into a layout, or stored.
// Values, copyable; blobs in files stay files until they are sent.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "oci/digest_file.h"
#include "oci/manifest.h"

namespace skerry {

// A blob's descriptor and its content: in memory, in a file, or in parts of files (which must not
// change while they are in use: whoever receives it verifies the digest).
struct BlobSource {
  Descriptor descriptor;
  std::variant<std::string, std::filesystem::path, Extents> content;
  std::shared_ptr<const void> held{};  // what keeps a file there while it is in use; often empty

  static BlobSource OfBytes(std::string media_type, std::string bytes,
                            Annotations annotations = {});
  // Reads the file once for its digest.
  static Result<BlobSource> OfFile(std::string media_type, const std::filesystem::path& path,
                                   Annotations annotations = {});
  // Gives all of the content to `sink`, in pieces. Not verified.
  Status ReadPieces(const std::function<Status(std::string_view)>& sink) const;
  // The content; kTooLarge over `max_bytes`. Not verified.
  Result<std::string> Read(std::uint64_t max_bytes) const;
  // Whether the content is what the descriptor says: kDataLoss names what differs.
  Status Verify() const;
};

struct Artifact {
  std::string manifest_bytes;
  Descriptor manifest;            // of manifest_bytes; artifact_type and annotations filled in
  std::vector<BlobSource> blobs;  // config first, then layers; each digest once

  // The blob with this digest, or null. Valid as long as the artifact.
  const BlobSource* FindBlob(const Digest& digest) const;
};

// The config of artifacts that need none: `{}` with media type application/vnd.oci.empty.v1+json.
BlobSource EmptyConfig();

// Builds the image manifest: schemaVersion 2, artifactType, config, layers in the given order,
// annotations, subject. Reproducible: no time, nothing of this machine. kTooLarge over the limits
// on layers and manifest bytes; kInvalidArgument without an artifact type.
Result<Artifact> MakeArtifact(std::string_view artifact_type, BlobSource config,
                              std::vector<BlobSource> layers, Annotations annotations = {},
                              std::optional<Descriptor> subject = std::nullopt);

// An artifact whose one layer is a document (receipts, status, desired state, policies, ...).
Result<Artifact> MakeDocumentArtifact(std::string_view artifact_type, std::string_view layer_type,
                                      std::string document, Annotations annotations = {},
                                      std::optional<Descriptor> subject = std::nullopt);

// The document of such an artifact: exactly one layer of `layer_type`, its digest verified.
Result<std::string> ReadDocument(const Artifact& artifact, std::string_view layer_type,
                                 std::uint64_t max_bytes);

}  // namespace skerry
