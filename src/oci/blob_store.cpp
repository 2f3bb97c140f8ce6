#include "oci/blob_store.h"

namespace skerry {

Status BlobStore::Has(const Digest& digest) const {
  SKERRY_RETURN_IF_ERROR(Size(digest));
  return {};
}

Result<Digest> BlobStore::Put(std::string_view bytes) {
  const Digest digest = Digest::Sha256(bytes);
  SKERRY_RETURN_IF_ERROR(Put(bytes, digest));
  return digest;
}

}  // namespace skerry
